"""The artists of a chain of several layers: data and learned function above, the slope jumps at its kinks below."""

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.lines import Line2D

from reluviz.core.elbows import STATUS
from reluviz.core.kinks import ChainPieces, chain_status, pieces_or_none
from reluviz.core.models.architecture import Architecture
from reluviz.data.dataset import Array, Dataset
from reluviz.plots import curves
from reluviz.plots.axes import Ticks, round_ticks
from reluviz.plots.canvas import Canvas
from reluviz.plots.data_background import DataBackground, LearnedFunction, draw_legend
from reluviz.plots.slope_jumps import SlopeJumpAxes
from reluviz.plots.style import DPI, GREY, LAYER_COLOURS, LAYER_MARKERS, SMALL_FONT, Parameters

ROW = 0.317
"""Vertical position of the row between the axes, as a fraction of the figure."""
MANY_KINKS = 100
"""With more kinks, stems are thin and markers small."""
MAX_LAYERS = len(LAYER_COLOURS)
"""Layers beyond these share the colour and the marker of the last."""


class ChainArtists:
    """Draws a chain on a canvas.

    Every kink of the learned function is marked on it, with the colour and the marker of the layer to which the unit
    belongs that changes between z > 0 and z <= 0 there. The lower axes show by how much the slope jumps.
    """

    def __init__(
        self,
        canvas: Canvas,
        background: DataBackground,
        dataset: Dataset,
        architecture: Architecture,
        precision: str,
    ) -> None:
        self.background, self.architecture, self.precision = background, architecture, precision
        self.points, self.scaling = dataset.as_trained, dataset.scaling
        self.ends = float(self.points.x.min()), float(self.points.x.max())
        self.axes = background.add_axes(canvas, (0.065, 0.365, 0.92, 0.53))
        x, y = round_ticks(*background.xlim), round_ticks(*background.ylim)
        self.axes.draw_ticks(Ticks(x.at, []), y)
        self.axes.draw_grid(x, y)
        shown = background.draw(self.axes)
        self.learned_function = LearnedFunction(canvas, self.axes)
        draw_legend(canvas, [*shown, self.learned_function.line])
        self.jumps = SlopeJumpAxes(canvas, background, x)
        self.stems: LineCollection = canvas.animate(self.jumps.axes.add(LineCollection([], zorder=2)))
        layers = min(len(architecture.hidden), MAX_LAYERS)
        self.kinks: list[PathCollection] = []
        self.jump_markers: list[PathCollection] = []
        for layer in range(layers):
            style = {"linewidths": 0.8, "edgecolors": "white", "color": LAYER_COLOURS[layer]}
            marker = LAYER_MARKERS[layer]
            self.kinks.append(canvas.animate(self.axes.add_points(marker, zorder=6, **style)))
            self.jump_markers.append(canvas.animate(self.jumps.axes.add_points(marker, zorder=4, **style)))
        self._draw_row(canvas, layers)

    def _draw_row(self, canvas: Canvas, layers: int) -> None:
        """Draw the legend of the layers with the number of kinks, and the counts of units."""
        text = {"size": SMALL_FONT, "color": GREY, "va": "center"}
        canvas.add_text(0.065, ROW, "slope jump at each kink of layer", **text)
        step = 0.34 / max(layers, 4)
        self.counts = []
        for layer in range(layers):
            x = 0.29 + layer * step
            face = LAYER_COLOURS[layer]
            canvas.figure.add_artist(
                Line2D([x], [ROW], marker=LAYER_MARKERS[layer], markersize=6, color=face, markeredgewidth=0)
            )
            more = "+" if layer == MAX_LAYERS - 1 and len(self.architecture.hidden) > MAX_LAYERS else ""
            canvas.add_text(x + 0.01, ROW - 0.001, f"{layer + 1}{more}:", **text)
            self.counts.append(canvas.animate(canvas.add_text(x + 0.03, ROW - 0.001, "", weight="bold", **text)))
        self.units = canvas.animate(canvas.add_text(0.985, ROW - 0.001, "", ha="right", **text))
        self.note = canvas.animate(canvas.add_text(0.985, 0.03, "", ha="right", **text))

    def reset(self) -> None:
        """Do nothing: no state of an earlier run is kept."""

    def update(self, parameters: Parameters) -> bool:
        """Show a chain. Return False, and change nothing, if its function is not finite."""
        background = self.background
        x, f = curves.learned_function(
            self.architecture.name, parameters, background.low, background.high, self.scaling
        )
        pieces = pieces_or_none(self.architecture, parameters, *self.ends)
        if pieces is None or not np.isfinite(f).all():
            return False
        self.learned_function.update(x, f)
        self._update_kinks(pieces)
        p = {name: np.asarray(value)[None] for name, value in parameters.items()}
        status = chain_status(self.architecture, p, self.points.x, self.precision)[0]
        numbers = np.bincount(status, minlength=len(STATUS)).tolist()
        named = dict(zip(STATUS, numbers, strict=True))
        self.units.set_text("units:  " + "   ".join(f"{named[name]} {name}" for name in ("bent", "linear", "dead")))
        self.note.set_text("more kinks than can be computed: f is interpolated" if pieces.capped else "")
        return True

    def _update_kinks(self, pieces: ChainPieces) -> None:
        bends = pieces.bends
        # a kink at which units of several layers change is that of the lowest layer
        layer = np.zeros(len(pieces.ends), np.int64)
        layer[pieces.crossing_end[::-1]] = pieces.crossing_layer[::-1]
        layer = np.minimum(layer, MAX_LAYERS)
        x, f = self.scaling.user_x(pieces.ends), self.scaling.user_y(pieces.value)
        jump = np.zeros(len(pieces.ends))
        jump[1:-1] = self.scaling.user_slope(pieces.jump)
        height = self.jumps.height(jump)
        many = int(bends.sum()) > MANY_KINKS
        for number, (kinks, markers, count) in enumerate(
            zip(self.kinks, self.jump_markers, self.counts, strict=True), start=1
        ):
            some = bends & (layer == number)
            kinks.set_offsets(np.stack([x[some], f[some]], axis=-1))
            markers.set_offsets(np.stack([x[some], height[some]], axis=-1))
            kinks.set_sizes([9 if many else 30], DPI)
            markers.set_sizes([9 if many else 30], DPI)
            count.set_text(str(int(some.sum())))
        self.stems.set_segments(list(_stems(x[bends], height[bends])))
        self.stems.set_color([LAYER_COLOURS[one - 1] for one in layer[bends].tolist()])
        self.stems.set_linewidth(0.5 if many else 1.4)


def _stems(x: Array, height: Array) -> Array:
    """Return vertical lines from 0 to the heights, [K, 2, 2]."""
    return np.stack([np.stack([x, np.zeros_like(x)], axis=-1), np.stack([x, height], axis=-1)], axis=1)
