"""Snapshot schedules: the updates after which a snapshot is taken."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from reluviz.data.ranges import check_value


class Schedule(ABC):
    """A snapshot schedule. It always includes the last update."""

    @abstractmethod
    def schedule(self, updates: int) -> list[int]:
        """Return the updates, from 0 to `updates`, after which a snapshot is taken, strictly increasing."""

    def picture_candidates(self, updates: int) -> list[int]:
        """Return those of them over which the pictures are spread evenly; all by default."""
        return self.schedule(updates)


@dataclass(frozen=True)
class EverySchedule(Schedule):
    """Snapshots after updates 0 and 1, and after each multiple of `every`."""

    every: int = 1000

    def __post_init__(self) -> None:
        """Check the value; raises a UserError."""
        object.__setattr__(self, "every", check_value("snapshots.every", self.every))

    def schedule(self, updates: int) -> list[int]:
        """Return 0, 1, every, 2 every, ..., updates."""
        return sorted({0, min(1, updates), *range(0, updates + 1, self.every), updates})


@dataclass(frozen=True)
class LogSchedule(Schedule):
    """Snapshots after update 0, then `per_decade` times in every factor of ten (as far as integers allow)."""

    per_decade: int = 10

    def __post_init__(self) -> None:
        """Check the value; raises a UserError."""
        object.__setattr__(self, "per_decade", check_value("snapshots.per_decade", self.per_decade))

    def schedule(self, updates: int) -> list[int]:
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

    def schedule(self, updates: int) -> list[int]:
        """Return 0, 1, 2, 3, 4, 5, 6, 8, 10, 13, ..., every, 2 every, ..., updates."""
        early = LogSchedule().schedule(min(self.every, updates))
        return sorted({*early, *self.picture_candidates(updates)})

    def picture_candidates(self, updates: int) -> list[int]:
        """Return 0, 1, every, 2 every, ..., updates."""
        return EverySchedule(self.every).schedule(updates)
