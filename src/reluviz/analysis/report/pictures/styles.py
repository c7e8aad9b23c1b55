"""The style of each value of a setting: the same colour, dash and marker in every picture of a report.

Names get colours that colour-blind readers can distinguish. Numbers get steps of one colour ramp, dark for small.
Each colour has its own dash and marker.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.colors import to_hex

from reluviz.analysis.report.groups import Groups, Value
from reluviz.plots.style import BLACK, evenly_spaced, printable_name

MAX_COLOURS = 7
"""The number of colours that readers can distinguish."""
NAME_COLOURS = (BLACK, "#aa4499", "#2f9fd8", "#b98a00", "#c00020", "#4040c0", "#a0a060")
"""Each two differ for colour-blind readers too. The first four are the colours of the runs in the TensorBoard tab."""
RAMP_RANGE = (0.0, 0.78)
"""The part of the colour ramp that is visible on white."""
DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 1.6)),
    (0, (6, 1.6, 1.2, 1.6)),
    (0, (2.2, 1.4)),
    (0, (9, 2)),
    (0, (9, 1.6, 1.2, 1.6, 1.2, 1.6)),
    (0, (1.2, 1.2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class Style(NamedTuple):
    """Colour, dash and marker of a value."""

    colour: str
    dash: Any
    marker: str


class Styles:
    """The styles of the values of all settings that vary.

    Attributes:
        keys: the settings that vary.
        shown: key -> the values that have a style: all, or `MAX_COLOURS` evenly spaced ones.
    """

    def __init__(self, groups: Groups) -> None:
        self.keys = groups.keys
        self.shown = {key: thinned(setting_values(groups, key), MAX_COLOURS) for key in groups.keys}
        self._styles: dict[tuple[str, str], Style] = {}
        names = 0
        for key, values in self.shown.items():
            ramp = len(values) > 1 and all_numbers(values)
            for i, value in enumerate(values):
                if ramp:
                    position = RAMP_RANGE[0] + (RAMP_RANGE[1] - RAMP_RANGE[0]) * i / (len(values) - 1)
                    colour = to_hex(colormaps["viridis"](position))
                else:
                    # the names of a second setting get the colours after those of the first one
                    colour = NAME_COLOURS[(names + i) % MAX_COLOURS]
                self._styles[key, str(value)] = Style(colour, DASHES[i], MARKERS[i])
            names += 0 if ramp else len(values)

    def of(self, key: str | None, value: Value) -> Style:
        """Return the style of a shown value; without a key, the first style."""
        return Style(NAME_COLOURS[0], DASHES[0], MARKERS[0]) if key is None else self._styles[key, str(value)]


def setting_values(groups: Groups, key: str) -> tuple[Value, ...]:
    """Return the distinct values of a setting: numbers sorted, names in the order of the groups."""
    found = {str(group.settings.get(key)): group.settings.get(key) for group in groups.groups}
    values = tuple(found.values())
    return tuple(sorted(values, key=as_number)) if all_numbers(values) else values


def all_numbers(values: Iterable[Value]) -> bool:
    """Return True if all values are numbers; True and False are not."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def as_number(value: Value) -> float:
    """Return a value as a float; it must be a number, as `all_numbers` checks."""
    assert isinstance(value, int | float)
    return float(value)


def thinned(values: tuple[Value, ...], max_values: int) -> tuple[Value, ...]:
    """Return at most `max_values` of the values, evenly spaced."""
    return tuple(values[i] for i in evenly_spaced(len(values), max_values))


def short_key(key: str, keys: Iterable[str]) -> str:
    """Return the last part of a key, or as many parts as make it unique among the keys: width for model.width."""
    parts = key.split(".")
    others = [other.split(".") for other in keys if other != key]
    for count in range(1, len(parts)):
        if parts[-count] and all(other[-count:] != parts[-count:] for other in others):
            return printable_name(".".join(parts[-count:]), 40)
    return printable_name(key, 40)


def format_value(value: Value, longest: int = 24) -> str:
    """Return a value as text for a picture: floats with five digits, long names without their middle."""
    if isinstance(value, float):
        return shortened(f"{value:.5g}", longest)
    return shortened("none" if value is None else str(value), longest)


def shortened(text: str, longest: int) -> str:
    """Return a text on one line, without its middle if it is too long, since names often differ at the end."""
    shown = printable_name(text, 2 * len(text) + longest)
    if len(shown) <= longest:
        return shown
    head = max(1, (longest - 1) // 2)
    return f"{shown[:head]}…{shown[len(shown) - max(0, longest - 1 - head) :]}"
