"""How far a training is, as lines on stderr that `graph/status.py` reads."""

from __future__ import annotations

import sys
import time
from typing import Any

from transformers import TrainerCallback

EVERY_S = 15.0


class Say(TrainerCallback):
    """Tells step, loss and tokens per second at the end of an epoch and each `EVERY_S` seconds."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.said, self.step, self.tokens = time.monotonic(), 0, 0.0

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if time.monotonic() - self.said >= EVERY_S:
            self._say(state)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._say(state)

    def _say(self, state: Any) -> None:
        losses = [entry for entry in state.log_history if "loss" in entry]
        if losses and state.is_world_process_zero and state.global_step > self.step:
            now, tokens = time.monotonic(), losses[-1].get("num_tokens", 0.0)
            # a training that goes on from a kill counts its tokens from 0 again
            speed = max(0.0, tokens - self.tokens) / max(1e-3, now - self.said)
            self.said, self.step, self.tokens = now, state.global_step, tokens
            print(
                f"epoch {state.epoch:.3g}: step {state.global_step} of {state.max_steps}, "
                f"loss {losses[-1]['loss']:.4f}, {speed:.0f} tokens/s",
                file=sys.stderr,
                flush=True,
            )
