"""The picture `votes/history`: how loud every point voted at every snapshot of a run."""

from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import FixedLocator, NullLocator

from reluviz.data.dataset import Array
from reluviz.pictures.canvas import Canvas, new_figure
from reluviz.pictures.style import INK, NORMAL, SMALL, SOFT, number, span, styled

ROWS = 462
"""Height of the image in pixels: more rows could not be seen."""
DECADES = 6
"""The colours reach at most this many powers of ten below the loudest vote."""
SILENCE = 1e-200
"""A norm below this one counts as none: matplotlib has no scale for numbers that small."""
SILENT = "#d9d9d9"

Masked = np.ma.MaskedArray[Any, np.dtype[np.float64]]


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
    with styled():
        canvas = Canvas(new_figure())
        figure = canvas.figure
        low, high = span(float(x.min()), float(x.max()), 0)
        axes = figure.add_axes((0.065, 0.105, 0.80, 0.77))
        image_rows = rows(x, audible(norms), low, high)
        heard = audible(norms).compressed()
        top = float(heard.max()) if heard.size else 1.0
        # a residual passes through 0 now and then: those few votes must not take up the colours
        bottom = max(float(np.percentile(heard, 1)), top * 10.0**-DECADES) if heard.size else 0.1
        scale = LogNorm(bottom if bottom < top else top / 10, top)
        image = axes.imshow(
            image_rows, norm=scale, cmap="cividis", aspect="auto", origin="lower",
            interpolation="nearest", extent=(-0.5, len(updates) - 0.5, low, high),
        )  # fmt: skip
        axes.set_facecolor(SILENT)
        axes.spines[:].set_visible(False)
        axes.tick_params(colors=SOFT, labelsize=SMALL, length=3)
        columns = np.unique(np.linspace(0, len(updates) - 1, min(len(updates), 7)).round().astype(int))
        axes.xaxis.set_major_locator(FixedLocator(columns.tolist()))
        axes.set_xticklabels([f"{int(updates[column]):,}" for column in columns])
        axes.set_xlabel("updates, one column for each snapshot", color=SOFT, fontsize=SMALL + 1)
        axes.set_ylabel("x", color=SOFT, fontsize=SMALL + 1, rotation=0, labelpad=2)
        bar = figure.colorbar(image, extend="min", extendfrac=0.02, cax=figure.add_axes((0.885, 0.105, 0.022, 0.77)))
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=SOFT, labelsize=SMALL, length=3)
        bar.ax.yaxis.set_minor_locator(NullLocator())
        figure.text(0.012, 0.972, "Votes over the run", size=11.5, color=INK, va="center", weight="bold")
        many = f"{len(x):,} points, {len(updates):,} snapshots"
        figure.text(0.985, 0.972, many, size=10, color=SOFT, va="center", ha="right")
        words = "norm of each point's contribution to the gradient; grey: no vote"
        figure.text(0.065, 0.915, words, size=NORMAL, color=SOFT, va="center")
        figure.text(0.885, 0.897, f"loudest {number(top)}" if heard.size else "", size=SMALL, color=SOFT)
        return canvas.png()


def rows(x: Array, norms: Masked, low: float, high: float) -> Masked:
    """Return norms [U, n] as an image [ROWS, U], each row that of the sample whose x is nearest."""
    order = np.argsort(x, kind="stable")
    ranked = x[order]
    centres = low + (np.arange(ROWS) + 0.5) * (high - low) / ROWS
    nearest = np.searchsorted((ranked[1:] + ranked[:-1]) / 2, centres)
    return norms.T[order[nearest]]


def audible(norms: Array) -> Masked:
    """Return the norms with those masked that have no place on a scale of logarithms."""
    return np.ma.masked_where(~(np.isfinite(norms) & (norms > SILENCE)), norms)
