"""Divide groups among the panels of a picture: one setting is shown by colour, the others by the panel.

Too many lines in one panel are unreadable. So the numbers of colours and of panels are limited, and the picture says
how many groups it shows.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reluviz.analysis.report.groups import Group, Groups, Value
from reluviz.analysis.report.pictures.styles import (
    MAX_COLOURS,
    Styles,
    all_numbers,
    format_value,
    setting_values,
    short_key,
)
from reluviz.plots.style import evenly_spaced

MAX_COLUMNS = 4
"""Limit of the panels in a row."""
Title = tuple[str, ...]
"""A title in several forms, from the longest to the shortest."""


@dataclass(frozen=True)
class Panel:
    """One panel of a picture.

    Attributes:
        title: the settings that its groups share; empty without such settings.
        groups: the groups that it shows.
    """

    title: Title
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Layout:
    """The panels of a picture.

    Attributes:
        colour_key: the setting that is shown by colour; None if nothing varies.
        colour_values: its values, in the order of their colours.
        panels: the panels.
        groups: the number of all groups, including those that are not shown.
        columns: the number of panels in a row.
    """

    colour_key: str | None
    colour_values: tuple[Value, ...]
    panels: tuple[Panel, ...]
    groups: int
    columns: int

    def shown_groups(self) -> Iterator[Group]:
        """Return an iterator over the groups of all panels."""
        return (group for panel in self.panels for group in panel.groups)

    @property
    def left_out(self) -> str:
        """The number of groups that are shown, in words; empty if all are shown."""
        count = sum(1 for _ in self.shown_groups())
        return f"{count} of {self.groups} groups drawn" if count < self.groups else ""


def make_layout(
    groups: Groups, styles: Styles, max_panels: int, colour_key: str | None = None, x_key: str | None = None
) -> Layout:
    """Divide groups among panels.

    Args:
        groups: the groups to show.
        styles: the styles of the values.
        max_panels: the largest number of panels.
        colour_key: the key that colour shows; by default the most suitable one.
        x_key: a key that the x axis shows, so that it needs no colour and no panels.
    """
    keys = [key for key in groups.keys if key != x_key]
    key = colour_key if colour_key in keys else _colour_key(groups, keys)
    rest = [other_key for other_key in keys if other_key != key]
    colour_values = styles.shown[key] if key is not None else ()
    kept = {str(value) for value in colour_values}
    by_panel: dict[tuple[str, ...], list[Group]] = {}
    for group in groups.groups:
        members = by_panel.setdefault(tuple(str(group.settings.get(other_key)) for other_key in rest), [])
        if key is None or str(group.settings.get(key)) in kept:
            members.append(group)
    filled = [members for members in by_panel.values() if members]
    panels = tuple(
        Panel(panel_title(filled[i][0], rest, groups.keys), tuple(filled[i]))
        for i in evenly_spaced(len(filled), max_panels)
    )
    row_length = len(setting_values(groups, rest[-1])) if rest else 1
    # one row of panels for each value of the other settings, if it fits
    fits = len(rest) > 1 and row_length <= MAX_COLUMNS and len(panels) == len(by_panel) and not len(panels) % row_length
    return Layout(key, colour_values, panels, len(groups.groups), row_length if fits else count_columns(len(panels)))


def count_columns(count: int) -> int:
    """Return the number of columns for `count` panels."""
    return count if count <= MAX_COLUMNS else math.ceil(count / math.ceil(count / MAX_COLUMNS))


def _colour_key(groups: Groups, keys: list[str]) -> str | None:
    """Return the key that colour shows: preferably with few enough values, and with names rather than numbers."""

    def unsuitability(key: str) -> tuple[bool, bool, int]:
        values = setting_values(groups, key)
        return len(values) > MAX_COLOURS, all_numbers(values), len(values)

    return min(keys, key=unsuitability, default=None)


def panel_title(group: Group, shown_keys: Sequence[str], keys: Iterable[str]) -> Title:
    """Return some settings of a group in words, "width = 10, optimizer = adam", and in shorter forms."""
    pairs = [(key, group.settings.get(key)) for key in shown_keys]
    values = [value for _, value in pairs]
    named = [f"{short_key(key, keys)} = {format_value(value)}" for key, value in pairs]
    short_named = [
        f"{short_key(key, keys)} {format_value(value)}" if all_numbers([value]) else format_value(value)
        for key, value in pairs
    ]
    return tuple(
        ", ".join(form)
        for form in (named, short_named, map(format_value, values), (format_value(value, 10) for value in values))
    )
