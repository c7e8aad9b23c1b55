"""What all pictures share: size, colours, type, and how numbers and names are written.

Colours are Okabe and Ito's, which the colour-blind tell apart. Blue is negative or downwards and orange is
positive or upwards in every picture, and never alone: side, height or shape says the same.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from matplotlib import rc_context, rcParams
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.font_manager import findfont, get_font

from reluviz.data.dataset import Array

Parameters = Mapping[str, Array]
"""Parameters of one replica: name to a float64 array, [W] for those of a unit and () for scalars."""

SIZE = (960, 600)
"""Width and height of a picture in pixels."""
DPI = 100

INK, SOFT, GRID = "#1a1a1a", "#5f5f5f", "#e6e6e6"
POINT, TRUTH = "#8c8c8c", "#009e73"
PLUS, MINUS, NEUTRAL = "#d55e00", "#0072b2", "#b3b3b3"
DIVERGING = LinearSegmentedColormap.from_list(
    "blue-grey-orange", ["#00568a", "#4a90c2", "#9c9c9c", "#e58a3c", "#b84a00"]
)

FONT = "DejaVu Sans"
"""Ships with matplotlib, so that a picture looks the same on every computer."""
RC: Any = {"font.family": [FONT], "text.usetex": False, "axes.formatter.use_mathtext": False}
SMALL, NORMAL = 8.5, 9.5


def styled() -> AbstractContextManager[None]:
    """Return a context in which matplotlib's settings are ours; the user's come back at its end."""
    if all(rcParams[name] == value for name, value in RC.items()):
        # to change them and back takes as long as a third of a picture
        return nullcontext()
    return rc_context(RC)


def printable(text: str, longest: int = 24) -> str:
    """Return a name as it can be drawn: on one line, not too long, a ? for what the font does not have."""
    font = get_font(findfont(FONT))
    shown = "".join(c if font.get_char_index(ord(c)) else "?" for c in " ".join(text.split()))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def number(value: float) -> str:
    """Return a number with three digits, with a true minus sign."""
    return f"{value:.3g}".replace("-", "−") if math.isfinite(value) else "not finite"


def spread(count: int, most: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return at most `most` indices spread evenly over range(count), the first and the last included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))
