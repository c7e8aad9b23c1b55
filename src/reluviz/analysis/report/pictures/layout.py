"""Which groups a picture shows, and where: one setting in colour, the others side by side.

Lines that cross each other by the dozen say nothing. So a panel has at most `looks.MOST` of them, a picture at most
so many panels, and what is left out is counted.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reluviz.analysis.report.groups import Group, Groups, Value
from reluviz.analysis.report.pictures.styles import MOST, Styles, numeric, short, values, word
from reluviz.plots.style import spread

ROW = 4
"""So many panels stand side by side, at most."""
Title = tuple[str, ...]
"""The same in fewer and fewer letters."""


@dataclass(frozen=True)
class Panel:
    """One of the frames of a picture.

    Attributes:
        title: the settings that its groups share, in long and in short; empty where there are none.
        groups: what it shows.
    """

    title: Title
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Layout:
    """What a picture shows.

    Attributes:
        key: the setting that is told by colour; None where nothing varies.
        shown: its values, in the order of their colours.
        panels: the frames.
        groups: how many groups there are in all.
        columns: how many panels stand side by side.
    """

    key: str | None
    shown: tuple[Value, ...]
    panels: tuple[Panel, ...]
    groups: int
    columns: int

    def drawn(self) -> Iterator[Group]:
        """Return the groups that are shown."""
        return (group for panel in self.panels for group in panel.groups)

    @property
    def missing(self) -> str:
        """What is left out, in words; empty where nothing is."""
        count = sum(1 for _ in self.drawn())
        return f"{count} of {self.groups} groups drawn" if count < self.groups else ""


def layout(study: Groups, looks: Styles, most: int, colour: str | None = None, across: str | None = None) -> Layout:
    """Divide the groups of a study among panels.

    Args:
        study: what is to be shown.
        looks: the values that have a colour.
        most: panels, at most.
        colour: the key to be told by colour; by default the one that suits best.
        across: a key that is on an axis, and asks for no colour or panel.
    """
    keys = [key for key in study.keys if key != across]
    key = colour if colour in keys else _coloured(study, keys)
    rest = [each for each in keys if each != key]
    shown = looks.shown[key] if key is not None else ()
    kept = {str(value) for value in shown}
    frames: dict[tuple[str, ...], list[Group]] = {}
    for group in study.groups:
        frame = frames.setdefault(tuple(str(group.settings.get(each)) for each in rest), [])
        if key is None or str(group.settings.get(key)) in kept:
            frame.append(group)
    filled = [found for found in frames.values() if found]
    panels = tuple(Panel(title(filled[i][0], rest, study.keys), tuple(filled[i])) for i in spread(len(filled), most))
    side = len(values(study, rest[-1])) if rest else 1
    # a row for each value of the others, if they fit
    fits = len(rest) > 1 and side <= ROW and len(panels) == len(frames) and not len(panels) % side
    return Layout(key, shown, panels, len(study.groups), side if fits else columns(len(panels)))


def columns(count: int) -> int:
    """Return how many of so many panels stand side by side."""
    return count if count <= ROW else math.ceil(count / math.ceil(count / ROW))


def _coloured(study: Groups, keys: list[str]) -> str | None:
    """Return the key to be told by colour: with few enough values, a name rather than a number."""

    def awkward(key: str) -> tuple[bool, bool, int]:
        found = values(study, key)
        return len(found) > MOST, numeric(found), len(found)

    return min(keys, key=awkward, default=None)


def title(group: Group, some: Sequence[str], keys: Iterable[str]) -> Title:
    """Return some of a group's settings in words: "width = 10, optimizer = adam", and less for little room."""
    pairs = [(key, group.settings.get(key)) for key in some]
    every = [value for _, value in pairs]
    named = [f"{short(key, keys)} = {word(value)}" for key, value in pairs]
    sized = [f"{short(key, keys)} {word(value)}" if numeric([value]) else word(value) for key, value in pairs]
    return tuple(", ".join(form) for form in (named, sized, map(word, every), (word(value, 10) for value in every)))
