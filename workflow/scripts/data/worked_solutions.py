"""Worked solutions of tasks of reasoning-gym: how a question's answer is found, step by step.

A writer is given an item and returns (thinking, answer). It works the answer out itself and does
not read the item's.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflow.scripts.data.gym import Entry

Solution = tuple[str, str]


def chain_sum(entry: Entry) -> Solution:
    """From left to right: `4 - 1 = 3`, `3 - 7 = -4`."""
    first, *rest = entry["metadata"]["expression"].split()
    total, lines = int(first), []
    for sign, number in zip(rest[::2], rest[1::2], strict=True):
        before = total
        total += int(number) if sign == "+" else -int(number)
        lines.append(f"{before} {sign} {number} = {total}")
    return "\n".join(lines) or f"There is one term, {total}.", str(total)


def gcd(entry: Entry) -> Solution:
    """By Euclid's algorithm: `912 mod 777 = 135`, …"""
    found, *rest = entry["metadata"]["numbers"]
    lines = []
    for number in rest:
        lines.append(f"gcd({found}, {number})")
        large, small = max(found, number), min(found, number)
        while small:
            lines.append(f"{large} mod {small} = {large % small}")
            large, small = small, large % small
        found = large
        lines.append(f"gcd = {found}")
    return "\n".join(lines), str(found)


def leg_counting(entry: Entry) -> Solution:
    """Animal by animal, with the sum so far."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    total, lines = 0, []
    for animal, count in entry["metadata"]["animals"].items():
        legs = count * ANIMALS[animal]
        lines.append(f"{animal}: {count} * {ANIMALS[animal]} = {legs}, {total} + {legs} = ")
        total += legs
        lines[-1] += str(total)
    return "\n".join(lines), str(total)


def letter_counting(entry: Entry) -> Solution:
    """Word by word, spelt, with the count so far."""
    letter, total, lines = entry["metadata"]["target_letter"].lower(), 0, []
    for word in entry["metadata"]["span"]:
        total += word.lower().count(letter)
        lines.append(f"{word}: {' '.join(word.lower())}: {total}")
    return "\n".join(lines), str(total)


def spell_backward(entry: Entry) -> Solution:
    """Spelt forward, then backward."""
    word = entry["metadata"]["word"]
    return f"{' '.join(word)}\n{' '.join(reversed(word))}", word[::-1]


def time_intervals(entry: Entry) -> Solution:
    """Unit by unit with what is borrowed, and days month by month."""
    about = entry["metadata"]
    start, end = (datetime.fromisoformat(about[key]) for key in ("start_time", "end_time"))
    wanted = about["expected_format"]
    lines: list[str] = []
    if start.tzinfo:
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        lines.append(f"In UTC: {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S}")
    clock, borrowed = _clock_difference(start, end, wanted, lines)
    if "days" not in wanted:
        return "\n".join(lines), clock
    days = _days_between(start.date(), end.date(), lines)
    if borrowed:
        lines.append(f"Days: {days} - 1 = {days - 1}")
        days -= 1
    return "\n".join(lines), f"{days} days, {clock}" if clock else f"{days} days"


def _clock_difference(
    start: datetime, end: datetime, wanted: str, lines: list[str]
) -> tuple[str, bool]:
    """Return end minus start on a clock, as `wanted`, and whether a day is borrowed for it."""
    units = [
        ("ms", start.microsecond // 1000, end.microsecond // 1000, 1000, "mmm"),
        ("s", start.second, end.second, 60, "SS"),
        ("min", start.minute, end.minute, 60, "MM"),
        ("h", start.hour, end.hour, 24, "HH"),
    ]
    clock, borrowed = wanted.removeprefix("D days").removeprefix(", "), 0
    shown = clock  # keeps its marks while parts are filled in
    for unit, before, after, size, mark in units if clock else ():
        if mark not in clock and before == after == 0:
            continue
        value = after - before - borrowed
        line = f"{unit}: {after} - {before}" + f" - {borrowed}" * bool(borrowed) + f" = {value}"
        borrowed = int(value < 0)
        if borrowed:
            line += f", + {size} = {value + size}, borrow 1"
        lines.append(line)
        shown = shown.replace(mark, str(value % size).rjust(len(mark), "0"))
    return shown, bool(borrowed)


def _days_between(start: date, end: date, lines: list[str]) -> int:
    """Return the days from a date to a later one, counted to the end of each month."""
    total, at = 0, start
    while (at.year, at.month) < (end.year, end.month):
        last = calendar.monthrange(at.year, at.month)[1]
        step = last - at.day
        lines.append(f"To {at.replace(day=last)}: {last} - {at.day} = {step}, {total} + {step} = ")
        total += step
        lines[-1] += str(total)
        at = date(at.year + at.month // 12, at.month % 12 + 1, 1)
        lines.append(f"To {at}: {total} + 1 = {total + 1}")
        total += 1
    step = end.day - at.day
    lines.append(f"To {end}: {end.day} - {at.day} = {step}, {total} + {step} = {total + step}")
    return total + step


WRITERS: dict[str, Callable[[Entry], Solution]] = {
    one.__name__: one
    for one in (chain_sum, gcd, leg_counting, letter_counting, spell_backward, time_intervals)
}
