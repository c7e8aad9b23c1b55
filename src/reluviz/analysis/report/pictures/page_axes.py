"""A picture of a report: a heading, a legend, and frames side by side that share their axes."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import TICKLEFT
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from reluviz.analysis.report.groups import Groups
from reluviz.analysis.report.pictures import ticks
from reluviz.analysis.report.pictures.bands import Limits
from reluviz.analysis.report.pictures.layout import Title
from reluviz.analysis.report.pictures.styles import shortened
from reluviz.plots.axes import Ticks
from reluviz.plots.style import DPI, GRID, INK, NORMAL, SIZE, SMALL, SOFT, printable

WIDTH = SIZE[0]
LEFT, RIGHT, BELOW, GAP = 74, 22, 52, 30
"""Margins and the space between frames that stand side by side, in pixels."""
TITLE, NOTE, ROW, NAME = 22, 46, 21, 20
"""Height of the title's and the note's middle below the upper edge, of a row of the legend, and of a panel's title."""
LOWEST_PANEL, GUTTER = 190, 16
"""How low a frame may become, and the space below it."""
LETTER = 7.4
"""About the width of a letter of normal size, in pixels."""


class PageAxes:
    """A figure with frames in rows and columns.

    Args:
        study: whose folders are named.
        title: what is shown.
        note: how to read it.
        handles: the entries of the legend.
        titles: of the frames, row by row.
        columns: how many frames stand side by side.
        asides: what is said on the right above each frame.
        right: pixels to be left free on the right.

    Attributes:
        figure: the figure.
        frames: its axes, row by row.
    """

    def __init__(
        self,
        study: Groups,
        title: str,
        note: str,
        handles: Sequence[Any],
        titles: Sequence[Title],
        columns: int,
        asides: Sequence[str],
        right: int = RIGHT,
    ) -> None:
        self.columns = columns
        rows = math.ceil(len(titles) / columns)
        self.figure = Figure(dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        across = self._across(handles)
        top = NOTE + 20 + (ROW * math.ceil(len(handles) / across) + 8 if handles else 0)
        name = NAME if any(any(words) for words in titles) or any(asides) else 6
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
        shown = self._fitting(titles, asides)
        for i, (words, aside) in enumerate(zip(shown, asides, strict=True)):
            row, column = divmod(i, columns)
            left = LEFT + column * (self.width + GAP)
            upper = top + name + row * (between + panel)
            box = left / WIDTH, 1 - (upper + panel) / self.height, self.width / WIDTH, panel / self.height
            axes = self.figure.add_axes(box)
            for edge in ("top", "right"):
                axes.spines[edge].set_visible(False)
            for edge in ("left", "bottom"):
                axes.spines[edge].set(color=SOFT, linewidth=0.8)
            axes.tick_params(colors=SOFT, labelsize=SMALL, length=3)
            axes.grid(color=GRID, linewidth=0.7)
            axes.set_axisbelow(True)
            self._name(left, 1 - (upper - 10) / self.height, words, aside)
            self.frames.append(axes)

    def _fitting(self, titles: Sequence[Title], asides: Sequence[str]) -> list[str]:
        """Return the titles of the frames, all in the longest form for which there is room everywhere."""
        room = int(self.width / LETTER - 0.95 * max(map(len, asides)))
        forms = max(map(len, titles))
        for form in range(forms):
            found = [words[min(form, len(words) - 1)] if words else "" for words in titles]
            if max(map(len, found)) <= room:
                return found
        return [shortened(words[-1], room) if words else "" for words in titles]

    def _name(self, left: float, at: float, title: str, aside: str) -> None:
        """Write above a frame: its title, and what is said on the right."""
        style: dict[str, Any] = {"va": "center"}
        self.figure.text(left / WIDTH, at, title, size=NORMAL, color=INK, **style)
        self.figure.text((left + self.width) / WIDTH, at, aside, size=SMALL, color=SOFT, ha="right", **style)

    def _head(self, study: Groups, title: str, note: str) -> None:
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

    def ticks(self, x: Ticks, y: Ticks, xname: str, ynames: Sequence[str]) -> None:
        """Put the same ticks on all frames, with numbers, and a name for each row, at the outer ones only."""
        for i, axes in enumerate(self.frames):
            lowest, first = i + self.columns >= len(self.frames), i % self.columns == 0
            for axis, found in ((axes.xaxis, x), (axes.yaxis, y)):
                axis.set_minor_locator(NullLocator())
                axis.set_major_locator(FixedLocator(found.at))
                axis.set_major_formatter(FixedFormatter(found.labels))
            axes.tick_params(labelbottom=lowest, labelleft=first)
            if lowest:
                axes.set_xlabel(xname, size=SMALL + 1, color=SOFT, labelpad=3)
            if first:
                axes.set_ylabel(ynames[i // self.columns % len(ynames)], size=SMALL + 1, color=SOFT, labelpad=4)
            if axes.get_yscale() == "log":
                # as ticks of matplotlib's, each of them five artists, they would take longer than all the rest
                at = ticks.between(*axes.get_ylim())
                style: dict[str, Any] = {"marker": TICKLEFT, "markersize": 2, "markeredgewidth": 0.6, "linestyle": ""}
                place = axes.get_yaxis_transform()
                self.figure.add_artist(Line2D([0.0] * len(at), at, color=SOFT, transform=place, **style))

    def limit(self, xlim: tuple[float, float], view: Limits, xlog: bool = False) -> None:
        """Give all frames the same limits."""
        for axes in self.frames:
            if xlog:
                axes.set_xscale("symlog", linthresh=1, linscale=0.5)
            if view.log:
                axes.set_yscale("log", nonpositive="clip")
            axes.set_xlim(*xlim)
            axes.set_ylim(view.low, view.high)

    def say(self, axes: Axes, words: str) -> None:
        """Write into the middle of a frame why there is nothing to see."""
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", size=NORMAL, color=SOFT)
