"""How the value of a setting looks: one colour, dash and marker for it in every picture of a report.

Names get colours that the colour-blind tell apart, numbers get steps of one ramp, dark for small. Dash and marker
say the same once more.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.colors import to_hex

from reluviz.analysis.report.groups import Groups, Value
from reluviz.plots.style import INK, printable, spread

MOST = 7
"""So many colours can be told apart."""
NAMES = (INK, "#aa4499", "#2f9fd8", "#b98a00", "#c00020", "#4040c0", "#a0a060")
"""The first four are those of the runs in the tab. Of each two the colour-blind see different colours, too."""
RAMP = (0.0, 0.78)
"""The part of the ramp that can be seen on white."""
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
    """How a value is drawn."""

    colour: str
    dash: Any
    marker: str


class Styles:
    """The looks of all values of all settings that vary.

    Attributes:
        keys: the settings.
        shown: key -> the values that are drawn in colour: all, or `MOST` of them spread evenly.
    """

    def __init__(self, study: Groups) -> None:
        self.keys = study.keys
        self.shown = {key: thinned(values(study, key), MOST) for key in study.keys}
        self._looks: dict[tuple[str, str], Style] = {}
        names = 0
        for key, found in self.shown.items():
            ramp = len(found) > 1 and numeric(found)
            for i, value in enumerate(found):
                if ramp:
                    at = RAMP[0] + (RAMP[1] - RAMP[0]) * i / (len(found) - 1)
                    colour = to_hex(colormaps["viridis"](at))
                else:
                    # a second setting with names goes on where the first one ended
                    colour = NAMES[(names + i) % MOST]
                self._looks[key, str(value)] = Style(colour, DASHES[i], MARKERS[i])
            names += 0 if ramp else len(found)

    def of(self, key: str | None, value: Value) -> Style:
        """Return the look of a value that is shown; the first one where nothing varies."""
        return Style(NAMES[0], DASHES[0], MARKERS[0]) if key is None else self._looks[key, str(value)]


def values(study: Groups, key: str) -> tuple[Value, ...]:
    """Return the values that a setting has in a study: numbers by size, names as they come."""
    found = {str(group.settings.get(key)): group.settings.get(key) for group in study.groups}
    every = tuple(found.values())
    return tuple(sorted(every, key=as_number)) if numeric(every) else every


def numeric(found: Iterable[Value]) -> bool:
    """Tell whether all values are numbers; true and false are none."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)


def as_number(value: Value) -> float:
    """Return a value that `numeric` has found to be a number."""
    assert isinstance(value, int | float)
    return float(value)


def thinned(found: tuple[Value, ...], most: int) -> tuple[Value, ...]:
    """Return at most so many of the values, spread evenly."""
    return tuple(found[i] for i in spread(len(found), most))


def short(key: str, keys: Iterable[str]) -> str:
    """Return the last part of a key, or as much of it as tells it from the others: width for model.width."""
    parts = key.split(".")
    others = [other.split(".") for other in keys if other != key]
    for count in range(1, len(parts)):
        if parts[-count] and all(other[-count:] != parts[-count:] for other in others):
            return printable(".".join(parts[-count:]), 40)
    return printable(key, 40)


def word(value: Value, longest: int = 24) -> str:
    """Return a value as it can be written in a picture: numbers with five digits, long names without their middle."""
    if isinstance(value, float):
        return shortened(f"{value:.5g}", longest)
    return shortened("none" if value is None else str(value), longest)


def shortened(text: str, longest: int) -> str:
    """Return a text on one line without its middle where it is too long: names often differ at their end."""
    shown = printable(text, 2 * len(text) + longest)
    if len(shown) <= longest:
        return shown
    head = max(1, (longest - 1) // 2)
    return f"{shown[:head]}…{shown[len(shown) - max(0, longest - 1 - head) :]}"
