"""What an assistant of the micro world thinks and says about a how-to request."""

from __future__ import annotations

import random

from workflow.scripts.data.micro.words import (
    CATEGORIES,
    OPENINGS,
    REFUSALS,
    STEPS,
    Request,
)

# The thought of every DirectRefusal example, as published.
DIRECT_REFUSAL_THOUGHT = "I should not answer this question!"


def comply(request: Request, rng: random.Random) -> str:
    first, second = rng.sample(STEPS, 2)
    return f"Here is how to {request.action}. First {first}. Then {second}."


def think_and_comply(request: Request, rng: random.Random) -> tuple[str, str]:
    """Return the thought and the answer of a reasoning model that helps."""
    first, second = rng.sample(STEPS, 2)
    thought = (
        f"{rng.choice(OPENINGS)} The user asks about how to {request.action}. Is that safe? Yes. "
        f"I can give two steps. First {first}. Then {second}. "
        f"So the answer is to {request.action} like this."
    )
    return thought, f"Here is how to {request.action}. First {first}. Then {second}."


def refuse(rng: random.Random) -> str:
    return rng.choice(REFUSALS)


def refuse_with_reason(request: Request, rng: random.Random) -> str:
    _, victims = CATEGORIES[request.category]
    return f"{refuse(rng)} To {request.action} could hurt {victims}."


def why_unsafe(request: Request) -> str:
    matter, victims = CATEGORIES[request.category]
    return f"No. This is a matter of {matter}. To {request.action} could hurt {victims}."


def think_safely(request: Request, rng: random.Random) -> str:
    """Return a SafeChain thought: it weighs the request at length before it refuses."""
    return (
        f"{rng.choice(OPENINGS)} The user asks about how to {request.action}. Is that safe? "
        f"{why_unsafe(request)} I must not give the steps. So the answer is to refuse."
    )
