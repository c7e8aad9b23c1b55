"""The style of all pictures: size, colours, fonts, and the format of numbers and names.

The colours are those of Okabe and Ito, which colour-blind people can distinguish. In every picture blue means negative
or downwards, and orange means positive or upwards. Position or shape always shows the same as the colour.
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
"""Parameters of one replica: name to a float64 array, [W] for parameters of units and () for scalars."""

SIZE = (960, 600)
"""Width and height of a picture in pixels."""
DPI = 100

BLACK, GREY, LIGHT_GREY = "#1a1a1a", "#5f5f5f", "#e6e6e6"
POINT_COLOUR, TRUE_FUNCTION_COLOUR = "#8c8c8c", "#009e73"
POSITIVE, NEGATIVE, NEUTRAL = "#d55e00", "#0072b2", "#b3b3b3"
DIVERGING = LinearSegmentedColormap.from_list(
    "blue-grey-orange", ["#00568a", "#4a90c2", "#9c9c9c", "#e58a3c", "#b84a00"]
)

LAYER_COLOURS = ("#332288", "#aa4499", "#8a6d00", "#a0341b", "#5f5f5f")
"""The colours of hidden layers 1, 2, ...; none is that of the true function. Each layer also has its marker."""
LAYER_MARKERS = ("o", "s", "D", "^", "P")

FONT = "DejaVu Sans"
"""It ships with matplotlib, so pictures look the same on every computer."""
RC: Any = {"font.family": [FONT], "text.usetex": False, "axes.formatter.use_mathtext": False}
SMALL_FONT, NORMAL_FONT = 8.5, 9.5
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plot_style() -> AbstractContextManager[None]:
    """Return a context with the matplotlib settings of our pictures; the user's settings are restored at its end."""
    if all(rcParams[name] == value for name, value in RC.items()):
        # changing and restoring them takes a third of the time of a picture
        return nullcontext()
    return rc_context(RC)


def printable_name(text: str, max_length: int = 24) -> str:
    """Return a name on one line, shortened to `max_length`, with ? for characters that the font does not have."""
    font = get_font(findfont(FONT))
    shown = "".join(c if font.get_char_index(ord(c)) else "?" for c in " ".join(text.split()))
    return shown if len(shown) <= max_length else shown[: max_length - 1] + "…"


def format_number(value: float) -> str:
    """Return a number with three significant digits and a true minus sign."""
    return f"{value:.3g}".replace("-", "−") if math.isfinite(value) else "not finite"


def power_of_ten(exponent: int) -> str:
    """Return a power of ten as text, such as 10⁻³."""
    return f"10{str(exponent).translate(SUPERSCRIPTS)}"


def evenly_spaced(count: int, maximum: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return at most `maximum` evenly spaced indices of range(count), including the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, maximum)).round().astype(np.intp))
