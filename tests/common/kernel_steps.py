"""Three training steps of a small transformer, by torch alone; prints a hash of what they gave.

    python tests/common/kernel_steps.py pinned|free

What a step of the project's trainers is made of (embedding, RMS norm, rotary positions, causal
attention, SiLU, cross entropy, clipping, AdamW in one kernel), without transformers, whose import
takes minutes on an emulated processor; and numpy's exponential.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from workflow.scripts.common.kernels import pin_kernels

if sys.argv[1] == "pinned":
    pin_kernels()

import numpy as np
import torch
from torch.nn import functional as F

WIDTH, HEADS, LENGTH, BATCH, WORDS, STEPS = 96, 3, 60, 16, 400, 3


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norms = torch.nn.ModuleList(torch.nn.RMSNorm(WIDTH) for _ in range(2))
        self.attention = torch.nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate, self.up = (torch.nn.Linear(WIDTH, 240, bias=False) for _ in range(2))
        self.down = torch.nn.Linear(240, WIDTH, bias=False)

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        parts = self.attention(self.norms[0](x)).view(BATCH, LENGTH, 3, HEADS, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        query, key = (a * turn.cos() - a.roll(1, -1) * turn.sin() for a in (query, key))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(BATCH, LENGTH, WIDTH))
        inner = self.norms[1](x)
        return x + self.down(F.silu(self.gate(inner)) * self.up(inner))


torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
torch.manual_seed(3)
words = torch.nn.Embedding(WORDS, WIDTH)
blocks = torch.nn.ModuleList(Block() for _ in range(2))
parameters = [*words.parameters(), *blocks.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=2e-3, fused=True)
frequencies = 100.0 ** -(torch.arange(WIDTH // HEADS) / (WIDTH // HEADS))
turn = torch.arange(LENGTH)[:, None] * frequencies
for _ in range(STEPS):
    tokens = torch.randint(0, WORDS, (BATCH, LENGTH))
    x = words(tokens)
    for block in blocks:
        x = block(x, turn)
    logits = x @ words.weight.T
    loss = F.cross_entropy(logits[:, :-1].reshape(-1, WORDS), tokens[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()

found = hashlib.sha256()
for parameter in parameters:
    found.update(parameter.detach().numpy().tobytes())
x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
found.update(np.exp(x @ x).tobytes())
print(torch.backends.cpu.get_cpu_capability(), found.hexdigest())
