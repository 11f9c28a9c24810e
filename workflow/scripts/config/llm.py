"""A model behind an endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from workflow.scripts.config.section import AboveZero, Count, NotNegative, Positive, Section, Share


class Llm(Section):
    """A model behind an endpoint. Caps are per job, which may score many models' samples."""

    base_url: Annotated[str, StringConstraints(pattern="^https?://[^ ]+$")]
    """Such as https://…/v1"""
    model: str
    """A dated snapshot where the provider has them"""
    api_key_env: str | None = None
    """Environment variable that holds the key; null: an endpoint without keys"""
    max_reply_tokens: Positive = 512
    """Longest reply"""
    reply_limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the provider calls that limit"""
    timeout_s: Positive = 60
    """Seconds until a request is given up"""
    max_retries: Count = 4
    """Of one request, with exponential waits"""
    parallel: Positive = 8
    """Requests at once"""
    max_requests: Positive
    """Requests at most"""
    max_tokens: Positive | None = None
    """Tokens of all requests and replies at most"""
    max_usd: AboveZero | None = None
    """US dollars at most; needs both prices"""
    usd_per_million_input: NotNegative = 0.0
    """Price of a million tokens that are sent"""
    usd_per_million_output: NotNegative = 0.0
    """Price of a million tokens that come back"""
    max_error_share: Share = 0.02
    """Requests that may fail"""

    @model_validator(mode="after")
    def _check(self) -> Llm:
        if self.max_usd is not None and not self.usd_per_million_output:
            raise ValueError("max_usd needs usd_per_million_input and usd_per_million_output")
        return self
