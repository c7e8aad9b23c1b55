"""Snapshot schedules: the updates after which a snapshot is taken.

A run may have 10^11 updates, so that its schedule is no list: its items are computed when they are needed.
"""

import bisect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from reluviz.data.ranges import check_value

Item = TypeVar("Item", covariant=True)


class ComputedSequence(Sequence[Item]):
    """A sequence whose items are computed when they are needed, equal to every sequence with the same items."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        some = ", ".join(repr(self[i]) for i in range(min(3, len(self))))
        return f"<{type(self).__name__} of {len(self):,}: {some}, ...>"

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return self._item(place)

    @abstractmethod
    def _item(self, place: int) -> Item:
        """Return an item, counted from 0."""


class ScheduledUpdates(ComputedSequence[int]):
    """The updates of a schedule, strictly increasing: some at the start, the multiples of a number, and the last one.

    Args:
        start: updates up to the smallest multiple, in any order.
        multiples: those after the start.
        last: the last update.
    """

    def __init__(self, start: set[int], multiples: range, last: int) -> None:
        self.start = sorted({update for update in start if update < last} - {*multiples[:1]})
        self.multiples = multiples[: bisect.bisect_left(multiples, last)]
        self.last = last

    def __len__(self) -> int:
        return len(self.start) + len(self.multiples) + 1

    def _item(self, place: int) -> int:
        if place < len(self.start):
            return self.start[place]
        place -= len(self.start)
        return self.multiples[place] if place < len(self.multiples) else self.last


class UpdatesFrom(ComputedSequence[int]):
    """An update, and those of a schedule that follow it.

    Args:
        done: the update.
        schedule: the schedule.
    """

    def __init__(self, done: int, schedule: Sequence[int]) -> None:
        self.done = done
        self.schedule = schedule
        self.first = bisect.bisect_right(schedule, done)

    def __len__(self) -> int:
        return 1 + len(self.schedule) - self.first

    def _item(self, place: int) -> int:
        return self.schedule[self.first + place - 1] if place else self.done


class Steps(ComputedSequence[tuple[int, int]]):
    """Each pair of neighbours of a sequence of updates."""

    def __init__(self, updates: Sequence[int]) -> None:
        self.updates = updates

    def __len__(self) -> int:
        return max(0, len(self.updates) - 1)

    def _item(self, place: int) -> tuple[int, int]:
        return self.updates[place], self.updates[place + 1]


class Schedule(ABC):
    """A snapshot schedule. It always includes the last update."""

    @abstractmethod
    def schedule(self, updates: int) -> Sequence[int]:
        """Return the updates, from 0 to `updates`, after which a snapshot is taken, strictly increasing."""

    def picture_candidates(self, updates: int) -> Sequence[int]:
        """Return those of them over which the pictures are spread evenly; all by default."""
        return self.schedule(updates)


@dataclass(frozen=True)
class EverySchedule(Schedule):
    """Snapshots after updates 0 and 1, and after each multiple of `every`."""

    every: int = 1000

    def __post_init__(self) -> None:
        """Check the value; raises a UserError."""
        object.__setattr__(self, "every", check_value("snapshots.every", self.every))

    def schedule(self, updates: int) -> Sequence[int]:
        """Return 0, 1, every, 2 every, ..., updates."""
        return ScheduledUpdates({0, 1}, range(self.every, updates + 1, self.every), updates)


@dataclass(frozen=True)
class LogSchedule(Schedule):
    """Snapshots after update 0, then `per_decade` times in every factor of ten (as far as integers allow)."""

    per_decade: int = 10

    def __post_init__(self) -> None:
        """Check the value; raises a UserError."""
        object.__setattr__(self, "per_decade", check_value("snapshots.per_decade", self.per_decade))

    def schedule(self, updates: int) -> Sequence[int]:
        """Return 0 and round(10^(i / per_decade)), i = 0, 1, ..., up to updates."""
        found = {0, updates}
        i = 0
        while (update := round(10 ** (i / self.per_decade))) <= updates:
            found.add(update)
            i += 1
        return sorted(found)


@dataclass(frozen=True)
class EarlySchedule(Schedule):
    """The snapshots of `EverySchedule`, and ten in every factor of ten up to the first multiple of `every`.

    The elbows move fastest at the start. Pictures are drawn at the updates of `EverySchedule`.
    """

    every: int = 1000

    def __post_init__(self) -> None:
        """Check the value; raises a UserError."""
        object.__setattr__(self, "every", check_value("snapshots.every", self.every))

    def schedule(self, updates: int) -> Sequence[int]:
        """Return 0, 1, 2, 3, 4, 5, 6, 8, 10, 13, ..., every, 2 every, ..., updates."""
        early = LogSchedule().schedule(min(self.every, updates))
        return ScheduledUpdates({0, 1, *early}, range(self.every, updates + 1, self.every), updates)

    def picture_candidates(self, updates: int) -> Sequence[int]:
        """Return 0, 1, every, 2 every, ..., updates."""
        return EverySchedule(self.every).schedule(updates)
