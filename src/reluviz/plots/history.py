"""The picture `votes/history`: the norm of every point's vote at every snapshot of a run.

The vote of a point is its contribution to the gradient of the loss.

Legend of shapes: S snapshots, n recorded samples.
"""

import math
from typing import Any, TypeVar

import numpy as np
from matplotlib import colormaps
from matplotlib.markers import TICKRIGHT
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from reluviz.data.dataset import Array, span
from reluviz.plots.axes import TICK_LENGTH, Axes, Ticks, round_ticks
from reluviz.plots.canvas import Canvas, Colours, new_figure
from reluviz.plots.style import BLACK, GREY, NORMAL_FONT, SIZE, SMALL_FONT, format_number, plot_style, power_of_ten

LEFT, BOTTOM, WIDTH, HEIGHT = 62, 63, 768, 462
"""Position and size of the image, in pixels."""
BAR_LEFT, BAR_WIDTH, BAR_TIP = 850, 21, 9
"""Position and width of the colour bar, and the height of its tip, which stands for all smaller norms; in pixels."""
MAX_DECADES = 6
"""The colours cover at most this many powers of ten below the largest norm."""
MIN_NORM = 1e-200
"""Smaller norms count as 0."""
PALETTE: Colours = colormaps["cividis"](np.arange(256), bytes=True).view(np.uint32)[:, 0]
"""256 colours [256], from low to high norms. The four bytes of a colour (RGBA) are one integer: an image needs one
lookup for each pixel."""
NO_VOTE_COLOUR: Colours = np.array([0xD9, 0xD9, 0xD9, 0xFF], np.uint8).view(np.uint32)
LOWEST_COLOUR = colormaps["cividis"](0)

Value = TypeVar("Value", bound=np.generic)


def history_png(x: Array, updates: Array, norms: Array) -> bytes:
    """Return an image of samples by snapshots, coloured by the norm of the contribution, as a PNG file.

    A column is a snapshot. All columns are equally wide, so that the first updates are visible with every schedule.
    The axis shows the updates of some columns. A row shows the sample whose x is nearest. A norm that is 0 or not
    finite is grey.

    Args:
        x: inputs of the recorded samples [n], in any order.
        updates: number of updates at each snapshot [S].
        norms: norms of the contributions [S, n].

    Raises:
        ValueError: if the shapes do not match, or there is no snapshot or no sample.
    """
    x, updates, norms = np.asarray(x, float), np.asarray(updates), np.asarray(norms, float)
    if norms.shape != (len(updates), len(x)) or not norms.size:
        raise ValueError(f"norms must be [snapshots, samples] = [{len(updates)}, {len(x)}], not {list(norms.shape)}")
    positive = norms[np.isfinite(norms) & (norms > MIN_NORM)]
    largest = float(positive.max()) if positive.size else 1.0
    # a vote is nearly 0 while its residual changes sign: these few norms must not determine the colour scale
    smallest = max(float(np.percentile(positive, 1)), largest * 10.0**-MAX_DECADES) if positive.size else 0.1
    high_log = math.log10(largest)
    low_log = math.log10(smallest) if smallest < largest else high_log - 1
    low, high = span(float(x.min()), float(x.max()), 0)
    with plot_style():
        canvas = Canvas(new_figure())
        columns = (2 * np.arange(WIDTH) + 1) * len(updates) // (2 * WIDTH)  # at the middle of each pixel
        image = image_rows(x, norm_colours(norms, low_log, high_log), low, high)[:, columns]
        canvas.add_image(image, LEFT, BOTTOM)
        box = LEFT / SIZE[0], BOTTOM / SIZE[1], WIDTH / SIZE[0], HEIGHT / SIZE[1]
        axes = Axes(canvas, box, (-0.5, len(updates) - 0.5), (low, high))
        columns_with_label = np.unique(np.linspace(0, len(updates) - 1, min(len(updates), 7)).round().astype(int))
        at = Ticks(columns_with_label.tolist(), [f"{int(updates[column]):,}" for column in columns_with_label])
        axes.draw_ticks(at, round_ticks(low, high), offset_at=0)
        axes.add_offset_text((0.5, 0), (0, -18.5), "updates, one column for each snapshot", size=SMALL_FONT + 1)
        axes.add_offset_text((0, 1), (-6.5, 3), "x", ha="right", va="baseline", size=SMALL_FONT + 1)
        _draw_colour_bar(canvas, low_log, high_log)
        canvas.add_text(0.012, 0.972, "Votes over the run", size=11.5, color=BLACK, va="center", weight="bold")
        counts = f"{len(x):,} points, {len(updates):,} snapshots"
        canvas.add_text(0.985, 0.972, counts, size=10, color=GREY, va="center", ha="right")
        explanation = "norm of each point's contribution to the gradient; grey: no vote"
        canvas.add_text(0.065, 0.915, explanation, size=NORMAL_FONT, color=GREY, va="center")
        canvas.add_text(
            0.885, 0.897, f"loudest {format_number(largest)}" if positive.size else "", size=SMALL_FONT, color=GREY
        )
    return canvas.png()


def _draw_colour_bar(canvas: Canvas, low_log: float, high_log: float) -> None:
    """Draw the colour bar and its powers of ten; low_log and high_log are the decimal logarithms of its ends."""
    height = HEIGHT - BAR_TIP
    log_norms = np.linspace(low_log, high_log, height)[:, np.newaxis].repeat(BAR_WIDTH, axis=1)
    canvas.add_image(norm_colours(10.0**log_norms, low_log, high_log), BAR_LEFT, BOTTOM + BAR_TIP)
    edge = BOTTOM + BAR_TIP
    tip = [(BAR_LEFT, edge), (BAR_LEFT + BAR_WIDTH, edge), (BAR_LEFT + BAR_WIDTH / 2, BOTTOM)]
    canvas.figure.add_artist(Polygon(np.array(tip) / SIZE, facecolor=LOWEST_COLOUR, linewidth=0))
    box = BAR_LEFT / SIZE[0], edge / SIZE[1], BAR_WIDTH / SIZE[0], height / SIZE[1]
    axes = Axes(canvas, box, (0, 1), (low_log, high_log))
    powers = range(math.ceil(low_log - 1e-9), math.floor(high_log + 1e-9) + 1)
    labels = {float(power): power_of_ten(power) for power in powers}
    if len(labels) < 2:  # one label does not show the scale
        labels = {each: format_number(10.0**each) for each in (low_log, high_log)}
    style: dict[str, Any] = {"color": GREY, "linestyle": "", "markersize": TICK_LENGTH, "markeredgewidth": 0.8}
    axes.add_line(np.ones(len(labels)), list(labels), marker=TICKRIGHT, **style).set_clip_box(None)
    for power, label in labels.items():
        axes.add_offset_text((1, power), (6.5, 0), label, axes.y_transform, ha="left", va="center")


def image_rows(x: Array, values: NDArray[Value], low: float, high: float) -> NDArray[Value]:
    """Return values [S, n] as an image [HEIGHT, S]; each row shows the sample whose x is nearest."""
    order = np.argsort(x, kind="stable")
    ranked = x[order]
    centres = low + (np.arange(HEIGHT) + 0.5) * (high - low) / HEIGHT
    nearest = np.searchsorted((ranked[1:] + ranked[:-1]) / 2, centres)
    return values.T[order[nearest]]


def norm_colours(norms: Array, low_log: float, high_log: float) -> Colours:
    """Return the colours of norms [...] on a logarithmic scale; grey for a norm that is 0 or not finite.

    Args:
        norms: the norms.
        low_log: decimal logarithm of the lower end of the scale.
        high_log: decimal logarithm of its upper end.
    """
    positive = np.isfinite(norms) & (norms > MIN_NORM)
    index = (np.log10(np.where(positive, norms, 1.0)) - low_log) * (len(PALETTE) / (high_log - low_log))
    return np.where(positive, PALETTE[index.clip(0, len(PALETTE) - 1).astype(np.intp)], NO_VOTE_COLOUR)
