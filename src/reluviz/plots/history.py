"""The picture `votes/history`: how loud every point voted at every snapshot of a run."""

import math
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from matplotlib import colormaps
from matplotlib.markers import TICKRIGHT
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from reluviz.data.dataset import Array, span
from reluviz.plots.axes import TICK, Axes, Ticks, numbered
from reluviz.plots.canvas import Canvas, Colours, new_figure
from reluviz.plots.style import INK, NORMAL, SIZE, SMALL, SOFT, number, styled

LEFT, BOTTOM, WIDTH, ROWS = 62, 63, 768, 462
"""Place and size of the image in pixels: more rows could not be seen."""
BAR, THICK, TIP = 850, 21, 9
"""Where the bar of colours begins and how wide it is, and the height of its tip: all that is quieter."""
DECADES = 6
"""The colours reach at most this many powers of ten below the loudest vote."""
SILENCE = 1e-200
"""A norm below this one counts as none."""

V = TypeVar("V", bound=np.generic)


def history_png(x: Array, updates: Array, norms: Array) -> bytes:
    """Return an image of samples by snapshots, coloured by the norm of the contribution, as a PNG file.

    A column is a snapshot and all columns are equally wide, so that the first updates can be seen whatever
    the schedule; the axis names the update of some. A row shows the sample whose x is nearest. A vote of
    norm 0, and one that is not finite, is grey.

    Args:
        x: inputs of the recorded samples [n], in any order.
        updates: number of updates at each snapshot [U].
        norms: norms of the contributions [U, n].

    Raises:
        ValueError: where the shapes do not fit, or there is no snapshot or no sample.
    """
    x, updates, norms = np.asarray(x, float), np.asarray(updates), np.asarray(norms, float)
    if norms.shape != (len(updates), len(x)) or not norms.size:
        raise ValueError(f"norms must be [snapshots, samples] = [{len(updates)}, {len(x)}], not {list(norms.shape)}")
    heard = norms[np.isfinite(norms) & (norms > SILENCE)]
    loudest = float(heard.max()) if heard.size else 1.0
    # a residual passes through 0 now and then: those few votes must not take up the colours
    quietest = max(float(np.percentile(heard, 1)), loudest * 10.0**-DECADES) if heard.size else 0.1
    top = math.log10(loudest)
    bottom = math.log10(quietest) if quietest < loudest else top - 1
    low, high = span(float(x.min()), float(x.max()), 0)
    with styled():
        canvas = _canvas()
        canvas.clear()
        columns = (2 * np.arange(WIDTH) + 1) * len(updates) // (2 * WIDTH)  # at the middle of each pixel
        image = rows(x, coloured(norms, bottom, top), low, high)[:, columns]
        canvas.image(image, LEFT, BOTTOM)
        box = LEFT / SIZE[0], BOTTOM / SIZE[1], WIDTH / SIZE[0], ROWS / SIZE[1]
        panel = Axes(canvas, box, (-0.5, len(updates) - 0.5), (low, high))
        named = np.unique(np.linspace(0, len(updates) - 1, min(len(updates), 7)).round().astype(int))
        at = Ticks(named.tolist(), [f"{int(updates[column]):,}" for column in named])
        panel.rule(at, numbered(low, high), offset_at=0)
        panel.beside((0.5, 0), (0, -18.5), "updates, one column for each snapshot", size=SMALL + 1)
        panel.beside((0, 1), (-6.5, 3), "x", ha="right", va="baseline", size=SMALL + 1)
        _bar(canvas, bottom, top)
        canvas.text(0.012, 0.972, "Votes over the run", size=11.5, color=INK, va="center", weight="bold")
        many = f"{len(x):,} points, {len(updates):,} snapshots"
        canvas.text(0.985, 0.972, many, size=10, color=SOFT, va="center", ha="right")
        words = "norm of each point's contribution to the gradient; grey: no vote"
        canvas.text(0.065, 0.915, words, size=NORMAL, color=SOFT, va="center")
        canvas.text(0.885, 0.897, f"loudest {number(loudest)}" if heard.size else "", size=SMALL, color=SOFT)
    return canvas.png()


def _bar(canvas: Canvas, bottom: float, top: float) -> None:
    """Draw the bar of colours and its powers of ten; bottom and top are logarithms."""
    height = ROWS - TIP
    shades = np.linspace(bottom, top, height)[:, np.newaxis].repeat(THICK, axis=1)
    canvas.image(coloured(10.0**shades, bottom, top), BAR, BOTTOM + TIP)
    edge = BOTTOM + TIP
    tip = [(BAR, edge), (BAR + THICK, edge), (BAR + THICK / 2, BOTTOM)]
    canvas.figure.add_artist(Polygon(np.array(tip) / SIZE, facecolor=QUIETEST, linewidth=0))
    box = BAR / SIZE[0], edge / SIZE[1], THICK / SIZE[0], height / SIZE[1]
    panel = Axes(canvas, box, (0, 1), (bottom, top))
    powers = range(math.ceil(bottom - 1e-9), math.floor(top + 1e-9) + 1)
    named = {float(power): f"10{str(power).translate(RAISED)}" for power in powers}
    if len(named) < 2:  # which would say nothing about the scale
        named = {each: number(10.0**each) for each in (bottom, top)}
    style: dict[str, Any] = {"color": SOFT, "linestyle": "", "markersize": TICK, "markeredgewidth": 0.8}
    panel.line(np.ones(len(named)), list(named), marker=TICKRIGHT, **style).set_clip_box(None)
    for power, label in named.items():
        panel.beside((1, power), (6.5, 0), label, panel.along_y, ha="left", va="center")


@lru_cache(1)
def _canvas() -> Canvas:
    """Return the canvas of all histories: to make one takes longer than to draw on it."""
    return Canvas(new_figure())


def rows(x: Array, values: NDArray[V], low: float, high: float) -> NDArray[V]:
    """Return values [U, n] as an image [ROWS, U], each row that of the sample whose x is nearest."""
    order = np.argsort(x, kind="stable")
    ranked = x[order]
    centres = low + (np.arange(ROWS) + 0.5) * (high - low) / ROWS
    nearest = np.searchsorted((ranked[1:] + ranked[:-1]) / 2, centres)
    return values.T[order[nearest]]


def coloured(norms: Array, bottom: float, top: float) -> Colours:
    """Return the colours of norms [...] between two logarithms; grey where there is none."""
    heard = np.isfinite(norms) & (norms > SILENCE)
    shade = (np.log10(np.where(heard, norms, 1.0)) - bottom) * (len(PALETTE) / (top - bottom))
    return np.where(heard, PALETTE[shade.clip(0, len(PALETTE) - 1).astype(np.intp)], SILENT)


PALETTE: Colours = colormaps["cividis"](np.arange(256), bytes=True).view(np.uint32)[:, 0]
SILENT: Colours = np.array([0xD9, 0xD9, 0xD9, 0xFF], np.uint8).view(np.uint32)
QUIETEST = colormaps["cividis"](0)
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
