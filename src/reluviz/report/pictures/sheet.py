"""A picture of a report: a heading, a legend, and frames side by side that share their axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

from reluviz.pictures.panel import Ticks
from reluviz.pictures.style import DPI, GRID, INK, NORMAL, SIZE, SMALL, SOFT, printable
from reluviz.report.pictures import ticks
from reluviz.report.pictures.bands import Limits
from reluviz.report.pictures.looks import Looks, short, word
from reluviz.report.pictures.plan import Plan
from reluviz.report.study import Study

WIDTH = SIZE[0]
LEFT, RIGHT, BELOW, GAP = 70, 22, 52, 30
"""Margins and the space between frames that stand side by side, in pixels."""
TITLE, NOTE, ROW, NAME = 22, 46, 21, 20
"""Height of the title's and the note's middle below the upper edge, of a row of the legend, and of a panel's title."""
LOWEST_PANEL, GUTTER = 190, 16
"""How low a frame may become, and the space below it."""
LETTER = 7.4
"""About the width of a letter of normal size, in pixels."""


@dataclass(frozen=True)
class Picture:
    """A picture that is ready to be written.

    Attributes:
        name: of its file, without the ending.
        title: what it shows.
        words: the same in full sentences, for those who cannot see it.
        figure: the drawing.
    """

    name: str
    title: str
    words: str
    figure: Figure


class Sheet:
    """A figure with frames in rows and columns.

    Args:
        study: whose folders are named.
        title: what is shown.
        note: how to read it.
        handles: the entries of the legend.
        titles: of the frames, row by row.
        columns: how many frames stand side by side.
        right: pixels to be left free on the right.

    Attributes:
        figure: the figure.
        frames: its axes, row by row.
    """

    def __init__(
        self,
        study: Study,
        title: str,
        note: str,
        handles: Sequence[Any],
        titles: Sequence[str],
        columns: int,
        right: int = RIGHT,
    ) -> None:
        self.columns = columns
        rows = math.ceil(len(titles) / columns)
        self.figure = Figure(dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        across = self._across(handles)
        top = NOTE + 20 + (ROW * math.ceil(len(handles) / across) + 8 if handles else 0)
        name = NAME if any(titles) else 6
        between = name + GUTTER
        panel = max(LOWEST_PANEL, (SIZE[1] - top - BELOW + GUTTER) // rows - between)
        self.height = max(SIZE[1], top + BELOW - GUTTER + rows * (between + panel))
        self.figure.set_size_inches(WIDTH / DPI, self.height / DPI)
        self.width = (WIDTH - LEFT - right - GAP * (columns - 1)) / columns
        self._head(study, title, note)
        if handles:
            self.figure.legend(
                handles=list(handles), loc="upper left", bbox_to_anchor=(0.012, 1 - (NOTE + 18) / self.height),
                ncols=across, frameon=False, fontsize=NORMAL, labelcolor=SOFT, borderaxespad=0, borderpad=0,
                handlelength=2.6, columnspacing=1.6, labelspacing=0.45,
            )  # fmt: skip
        self.frames: list[Axes] = []
        for i, words in enumerate(titles):
            row, column = divmod(i, columns)
            left = LEFT + column * (self.width + GAP)
            upper = top + name + row * (between + panel)
            box = left / WIDTH, 1 - (upper + panel) / self.height, self.width / WIDTH, panel / self.height
            axes = self.figure.add_axes(box)
            for edge in ("top", "right"):
                axes.spines[edge].set_visible(False)
            for edge in ("left", "bottom"):
                axes.spines[edge].set(color=SOFT, linewidth=0.8)
            axes.tick_params(colors=SOFT, labelsize=SMALL, length=3, which="both")
            axes.grid(color=GRID, linewidth=0.7)
            axes.set_axisbelow(True)
            if words:
                at = 1 - (upper - 10) / self.height
                shown = printable(words, int(self.width / LETTER))
                self.figure.text(left / WIDTH, at, shown, size=NORMAL, color=INK, va="center")
            self.frames.append(axes)

    def _head(self, study: Study, title: str, note: str) -> None:
        where = ", ".join(printable(folder.name or str(folder), 40) for folder in study.folders)
        style: dict[str, Any] = {"va": "center"}
        self.figure.text(0.012, 1 - TITLE / self.height, title, size=11.5, color=INK, weight="bold", **style)
        room = int((WIDTH * 0.97 - 8.6 * len(title)) / LETTER)
        if room > 8:
            self.figure.text(
                0.985, 1 - TITLE / self.height, printable(where, room), size=10, color=SOFT, ha="right", **style
            )
        self.figure.text(0.012, 1 - NOTE / self.height, printable(note, 140), size=NORMAL, color=SOFT, **style)

    def _across(self, handles: Sequence[Any]) -> int:
        longest = max((len(str(handle.get_label())) for handle in handles), default=1)
        return max(1, min(len(handles), int((WIDTH - LEFT - RIGHT) / (58 + LETTER * longest))))

    def ticks(self, x: Ticks, y: Ticks, xname: str, yname: str) -> None:
        """Put the same ticks on all frames, with numbers and names at the outer ones only."""
        low, high = self.frames[0].get_ylim()
        between = ticks.between(low, high) if self.frames[0].get_yscale() == "log" else []
        for i, axes in enumerate(self.frames):
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_minor_locator(FixedLocator(between))
            axes.xaxis.set_major_locator(FixedLocator(x.at))
            axes.yaxis.set_major_locator(FixedLocator(y.at))
            lowest, first = i + self.columns >= len(self.frames), i % self.columns == 0
            axes.xaxis.set_major_formatter(FixedFormatter(x.labels if lowest else [""] * len(x.labels)))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_formatter(FixedFormatter(y.labels if first else [""] * len(y.labels)))
            if lowest:
                axes.set_xlabel(xname, size=SMALL + 1, color=SOFT, labelpad=3)
            if first:
                axes.set_ylabel(yname, size=SMALL + 1, color=SOFT, labelpad=4)

    def limit(self, xlim: tuple[float, float], view: Limits, xlog: bool = False) -> None:
        """Give all frames the same limits."""
        for axes in self.frames:
            if xlog:
                axes.set_xscale("symlog", linthresh=1, linscale=0.5)
            if view.log:
                axes.set_yscale("log", nonpositive="clip")
            axes.set_xlim(*xlim)
            axes.set_ylim(view.low, view.high)

    def say(self, axes: Axes, lines: Sequence[str]) -> None:
        """Write a few lines in small letters into the upper right corner of a frame."""
        text = "\n".join(printable(line, int(self.width / LETTER)) for line in lines)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
        axes.text(
            0.99, 0.97, text, transform=axes.transAxes, ha="right", va="top", size=SMALL, color=SOFT, bbox=box, zorder=6
        )


def legend(plan: Plan, looks: Looks, marked: bool = False) -> list[Any]:
    """Return the entries that explain the colours of a plan.

    Args:
        plan: what is shown.
        looks: of the values.
        marked: whether markers stand for the values rather than dashes.
    """
    if plan.key is None:
        return []
    found: list[Any] = []
    for value in plan.shown:
        look = looks.of(plan.key, value)
        style: dict[str, Any] = {"marker": look.marker} if marked else {"linestyle": look.dash}
        if marked:
            style |= {"markersize": 6, "linestyle": "-"}
        label = f"{short(plan.key, looks.keys)} = {word(value)}"
        found.append(Line2D([], [], color=look.colour, linewidth=1.7, label=label, **style))
    return found
