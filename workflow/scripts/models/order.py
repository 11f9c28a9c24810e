"""The order of examples: which make up an optimizer step, and which process computes which."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence


class EpochOrder:
    """Sampler: each epoch is a permutation drawn from (seed, epoch), the same on any device count.

    The last batch of an epoch is filled up with the index `n`, where a row without targets lies:
    several processes need equal shares, and repeating examples would change the loss. Where there
    are no such rows (`repeat`), it is filled up with the epoch's first examples.

    Several processes wait for each other after every forward pass. So each step's examples are
    dealt out by length (see `deal`): which examples make up a step, and so its update, stays.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        global_batch: int,
        seed: int,
        world: int = 1,
        per_device: int = 1,
        flat: bool = False,
        repeat: bool = False,
    ) -> None:
        """Take the lengths of the examples in tokens, and how a step is split (see `deal`)."""
        self.lengths, self.global_batch, self.seed, self.epoch = lengths, global_batch, seed, 0
        self.world, self.per_device, self.flat, self.repeat = world, per_device, flat, repeat
        self.size = -(-len(lengths) // global_batch) * global_batch

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0, from here on.

        Not `set_epoch`, which accelerate calls, but on several processes not where training goes
        on in the middle of an epoch: there it would draw the first epoch's order again.
        """
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        import torch

        n = len(self.lengths)
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(n, generator=generator).tolist()
        filler = itertools.cycle(order if self.repeat else [n])
        order = [*order, *itertools.islice(filler, self.size - n)]
        if self.world == 1:
            yield from order
            return
        lengths = [*self.lengths, 0]
        for start in range(0, self.size, self.global_batch):
            step = order[start : start + self.global_batch]
            yield from deal(step, lengths, self.world, self.per_device, self.flat)


def deal(
    step: Sequence[int], lengths: Sequence[int], world: int, per_device: int, flat: bool = False
) -> list[int]:
    """Return the examples of one optimizer step in the order that balances the processes.

    The data loader cuts the result into batches of `per_device` and gives them to the processes in
    turn. The longest examples come first and together, so that each forward pass takes as long as
    its examples, and not as long as the longest of the step.

    Args:
        step: Indices of the examples.
        lengths: Of all examples, in tokens.
        world: Number of processes.
        per_device: Examples per process and forward pass.
        flat: A process computes its examples as one sequence without padding. Then each gets long
            and short ones in turn, and the sums are balanced.
    """
    by_length = sorted(step, key=lambda index: (-lengths[index], index))
    dealt: list[int] = []
    for start in range(0, len(by_length), world * per_device):
        together = by_length[start : start + world * per_device]
        for rank in range(world):
            if flat:
                turns = [world - 1 - rank if turn % 2 else rank for turn in range(per_device)]
                dealt += [together[turn * world + place] for turn, place in enumerate(turns)]
            else:
                dealt += together[rank * per_device : (rank + 1) * per_device]
    return dealt
