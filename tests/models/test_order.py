import random

import pytest

from workflow.scripts.models.order import EpochOrder, deal


def test_every_epoch_sees_each_record_once_in_its_own_order():
    order = EpochOrder([5] * 21, 8, seed=1)
    first = list(order)
    order.start_epoch(1)
    second = list(order)
    assert sorted(first) == sorted(second) == [*range(21), 21, 21, 21]
    assert first[21:] == [21] * 3  # the filler comes last
    assert first != second
    assert list(EpochOrder([5] * 21, 8, seed=2)) != first


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(("world", "per_device"), [(1, 8), (2, 1), (2, 4), (8, 1)])
def test_a_step_has_the_same_examples_on_any_number_of_processes(world, per_device, flat):
    lengths = [random.Random(index).randrange(1, 100) for index in range(29)]
    alone = list(EpochOrder(lengths, 8, seed=3))
    shared = list(EpochOrder(lengths, 8, 3, world, per_device, flat))
    for start in range(0, 32, 8):
        assert sorted(shared[start : start + 8]) == sorted(alone[start : start + 8])
    assert world > 1 or shared == alone  # one process trains as before


def test_what_is_computed_at_the_same_time_is_of_similar_length():
    """Eight examples, two processes, two forward passes of two, worked by hand."""
    lengths = [1, 2, 3, 4, 5, 6, 7, 8]
    dealt = [lengths[index] for index in deal(range(8), lengths, 2, 2)]
    # first pass: 8 and 7 beside 6 and 5; second: 4 and 3 beside 2 and 1
    assert dealt == [8, 7, 6, 5, 4, 3, 2, 1]
    flat = [lengths[index] for index in deal(range(8), lengths, 2, 2, flat=True)]
    # without padding: 8 + 5 beside 7 + 6; 4 + 1 beside 3 + 2
    assert flat == [8, 5, 7, 6, 4, 1, 3, 2]
