"""Draws engines.png: one log-log panel for each axis, with the time of an update for each replica."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

if TYPE_CHECKING:
    from benchmarks.engines import Axis, Result

INK, SOFT, GRID = "#1a1a1a", "#5f5f5f", "#e6e6e6"
SMALL, NORMAL = 8.5, 9.5
# the colours of Okabe and Ito, and different markers for readers who do not see colours
STYLES = {
    "plain loop": (INK, "o"),
    "Lightning": ("#cc79a7", "s"),
    "reference": ("#0072b2", "^"),
    "fused": ("#d55e00", "D"),
    "fused, all cores": ("#e69f00", "P"),
    "exact": ("#009e73", "v"),
}


def draw(found: "Mapping[Axis, Sequence[Result]]", path: Path) -> None:
    """Draw the measurements of each axis and save the picture."""
    with rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(11, 8.2), dpi=100, facecolor="white")
        FigureCanvasAgg(figure)
        panels = figure.subplots(2, 2, sharey=True)
        figure.subplots_adjust(left=0.062, right=0.985, bottom=0.045, top=0.855, wspace=0.06, hspace=0.24)
        for axes, (axis, points) in zip(panels.flat, found.items(), strict=True):
            axes.set_xscale("log")
            axes.set_yscale("log")
            for label in dict.fromkeys(one.label for one in points):
                line = [one for one in points if one.label == label]
                colour, marker = STYLES[line[0].name]
                medians = [one.times.median for one in line]
                spread = [
                    [one.times.median - min(one.times.values) for one in line],
                    [max(one.times.values) - one.times.median for one in line],
                ]
                full = line[0].case.batch is None
                axes.errorbar(
                    [one.value for one in line], medians, spread, color=colour, marker=marker, markersize=6,
                    markerfacecolor="white" if full else colour, linestyle=(0, (4, 2)) if full else "-",
                    linewidth=1.6, elinewidth=1, zorder=3,
                )  # fmt: skip
            axes.set_title(f"{axis.title} {axis.letter}", loc="left", size=NORMAL + 1.5, color=INK, weight="bold")
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(SOFT)
            axes.tick_params(colors=SOFT, labelsize=SMALL, length=3)
            axes.grid(True, color=GRID, linewidth=0.7)
            axes.set_axisbelow(True)
            axes.yaxis.set_major_locator(LogLocator(numticks=12))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
            axes.xaxis.set_major_locator(FixedLocator(sorted({one.value for one in points})))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
            for scale in (axes.xaxis, axes.yaxis):
                scale.set_minor_locator(NullLocator())
        names = [name for name in STYLES if any(one.name == name for points in found.values() for one in points)]
        handles = [Line2D([], [], color=STYLES[name][0], marker=STYLES[name][1], label=name) for name in names]
        handles += [
            Line2D([], [], color=SOFT, label="minibatches"),
            Line2D([], [], color=SOFT, linestyle=(0, (4, 2)), marker="o", markerfacecolor="white", label="full batch"),
        ]
        figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0.065, 0.935), ncols=len(handles), frameon=False,
            fontsize=NORMAL, labelcolor=SOFT, handlelength=2.2, columnspacing=1.5, borderpad=0, borderaxespad=0,
        )  # fmt: skip
        figure.text(0.065, 0.965, "Time of an update, for each replica", size=14, color=INK, weight="bold", va="center")
        words = "W = 40, B = 40, N = 200, R = 1 by default; bars from the fastest to the slowest run"
        figure.text(0.975, 0.965, words, size=NORMAL, color=SOFT, va="center", ha="right")
        figure.savefig(path)


def duration(microseconds: float) -> str:
    """Return a number of microseconds in a suitable unit."""
    for unit, size in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if microseconds >= size:
            return f"{microseconds / size:.0f} {unit}"
    return f"{microseconds:.1g} µs"


def short(count: float) -> str:
    """Return a number of points or units, with M for millions."""
    return f"{count / 1e6:.3g}M" if count >= 1e6 else f"{count:,.0f}"
