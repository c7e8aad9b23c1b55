"""The figure of a picture: a heading, a legend, and panels with the same axes."""

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
from reluviz.plots.style import BLACK, DPI, GREY, LIGHT_GREY, NORMAL_FONT, SIZE, SMALL_FONT, printable_name

WIDTH = SIZE[0]
LEFT, RIGHT, BOTTOM, GAP = 74, 22, 52, 30
"""Margins, and the space between two columns of panels, in pixels."""
TITLE_Y, NOTE_Y, LEGEND_ROW, PANEL_TITLE = 22, 46, 21, 20
"""Distance of the title and of the note from the upper edge, height of a legend row and of a panel title, in pixels."""
MIN_PANEL_HEIGHT, ROW_GAP = 190, 16
"""Smallest height of a panel, and the space between two rows of panels, in pixels."""
LETTER_WIDTH = 7.4
"""Approximate width of a letter of normal size, in pixels."""


class PageAxes:
    """A figure with panels in rows and columns.

    Args:
        groups: the groups, whose folders the heading names.
        title: the title of the picture.
        note: a line below the title that explains the picture.
        handles: the entries of the legend.
        titles: the titles of the panels, row by row.
        columns: the number of panels in a row.
        notes: a text above each panel, on the right.
        right: the right margin, in pixels.

    Attributes:
        figure: the figure.
        panels: the axes of the panels, row by row.
        width, height: the width of a panel and the height of the figure, in pixels.
    """

    def __init__(
        self,
        groups: Groups,
        title: str,
        note: str,
        handles: Sequence[Any],
        titles: Sequence[Title],
        columns: int,
        notes: Sequence[str],
        right: int = RIGHT,
    ) -> None:
        self.columns = columns
        rows = math.ceil(len(titles) / columns)
        self.figure = Figure(dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        legend_columns = self._legend_columns(handles)
        top = NOTE_Y + 20 + (LEGEND_ROW * math.ceil(len(handles) / legend_columns) + 8 if handles else 0)
        title_height = PANEL_TITLE if any(any(forms) for forms in titles) or any(notes) else 6
        gap = title_height + ROW_GAP
        panel_height = max(MIN_PANEL_HEIGHT, (SIZE[1] - top - BOTTOM + ROW_GAP) // rows - gap)
        self.height = max(SIZE[1], top + BOTTOM - ROW_GAP + rows * (gap + panel_height))
        self.figure.set_size_inches(WIDTH / DPI, self.height / DPI)
        self.width = (WIDTH - LEFT - right - GAP * (columns - 1)) / columns
        self._draw_heading(groups, title, note)
        if handles:
            self.figure.legend(
                handles=list(handles), loc="upper left", ncols=legend_columns,
                bbox_to_anchor=(0.012, 1 - (NOTE_Y + 18) / self.height),
                frameon=False, fontsize=NORMAL_FONT, labelcolor=GREY, borderaxespad=0, borderpad=0,
                handlelength=2.6, columnspacing=1.6, labelspacing=0.45,
            )  # fmt: skip
        self.panels: list[Axes] = []
        shown = self._fitting_titles(titles, notes)
        for i, (panel_title, panel_note) in enumerate(zip(shown, notes, strict=True)):
            row, column = divmod(i, columns)
            left = LEFT + column * (self.width + GAP)
            panel_top = top + title_height + row * (gap + panel_height)
            box = (
                left / WIDTH,
                1 - (panel_top + panel_height) / self.height,
                self.width / WIDTH,
                panel_height / self.height,
            )
            axes = self.figure.add_axes(box)
            for edge in ("top", "right"):
                axes.spines[edge].set_visible(False)
            for edge in ("left", "bottom"):
                axes.spines[edge].set(color=GREY, linewidth=0.8)
            axes.tick_params(colors=GREY, labelsize=SMALL_FONT, length=3)
            axes.grid(color=LIGHT_GREY, linewidth=0.7)
            axes.set_axisbelow(True)
            self._draw_panel_title(left, 1 - (panel_top - 10) / self.height, panel_title, panel_note)
            self.panels.append(axes)

    def _fitting_titles(self, titles: Sequence[Title], notes: Sequence[str]) -> list[str]:
        """Return the titles of the panels, all in the longest form that fits in every panel."""
        max_characters = int(self.width / LETTER_WIDTH - 0.95 * max(map(len, notes)))
        number_of_forms = max(map(len, titles))
        for form in range(number_of_forms):
            fitted = [forms[min(form, len(forms) - 1)] if forms else "" for forms in titles]
            if max(map(len, fitted)) <= max_characters:
                return fitted
        return [shortened(forms[-1], max_characters) if forms else "" for forms in titles]

    def _draw_panel_title(self, left: float, y: float, title: str, panel_note: str) -> None:
        """Write the title of a panel above it on the left, and its note on the right."""
        style: dict[str, Any] = {"va": "center"}
        self.figure.text(left / WIDTH, y, title, size=NORMAL_FONT, color=BLACK, **style)
        self.figure.text((left + self.width) / WIDTH, y, panel_note, size=SMALL_FONT, color=GREY, ha="right", **style)

    def _draw_heading(self, groups: Groups, title: str, note: str) -> None:
        folders = ", ".join(printable_name(folder.name or str(folder), 40) for folder in groups.folders)
        style: dict[str, Any] = {"va": "center"}
        self.figure.text(0.012, 1 - TITLE_Y / self.height, title, size=11.5, color=BLACK, weight="bold", **style)
        max_characters = int((WIDTH * 0.97 - 8.6 * len(title)) / LETTER_WIDTH)
        if max_characters > 8:
            self.figure.text(
                0.985,
                1 - TITLE_Y / self.height,
                printable_name(folders, max_characters),
                size=10,
                color=GREY,
                ha="right",
                **style,
            )
        self.figure.text(
            0.012, 1 - NOTE_Y / self.height, printable_name(note, 140), size=NORMAL_FONT, color=GREY, **style
        )

    def _legend_columns(self, handles: Sequence[Any]) -> int:
        longest = max((len(str(handle.get_label())) for handle in handles), default=1)
        return max(1, min(len(handles), int((WIDTH - LEFT - RIGHT) / (58 + LETTER_WIDTH * longest))))

    def set_ticks(self, x: Ticks, y: Ticks, x_name: str, y_names: Sequence[str]) -> None:
        """Set the same ticks in all panels; only the left and the bottom panels have labels and axis names."""
        for i, axes in enumerate(self.panels):
            is_bottom, is_left = i + self.columns >= len(self.panels), i % self.columns == 0
            for axis, axis_ticks in ((axes.xaxis, x), (axes.yaxis, y)):
                axis.set_minor_locator(NullLocator())
                axis.set_major_locator(FixedLocator(axis_ticks.at))
                axis.set_major_formatter(FixedFormatter(axis_ticks.labels))
            axes.tick_params(labelbottom=is_bottom, labelleft=is_left)
            if is_bottom:
                axes.set_xlabel(x_name, size=SMALL_FONT + 1, color=GREY, labelpad=3)
            if is_left:
                axes.set_ylabel(y_names[i // self.columns % len(y_names)], size=SMALL_FONT + 1, color=GREY, labelpad=4)
            if axes.get_yscale() == "log":
                # one line of markers: minor ticks of matplotlib have five artists each, and would take most of the time
                positions = ticks.minor_ticks(*axes.get_ylim())
                style: dict[str, Any] = {"marker": TICKLEFT, "markersize": 2, "markeredgewidth": 0.6, "linestyle": ""}
                transform = axes.get_yaxis_transform()
                self.figure.add_artist(
                    Line2D([0.0] * len(positions), positions, color=GREY, transform=transform, **style)
                )

    def set_limits(self, xlim: tuple[float, float], limits: Limits, log_x: bool = False) -> None:
        """Set the same limits in all panels."""
        for axes in self.panels:
            if log_x:
                axes.set_xscale("symlog", linthresh=1, linscale=0.5)
            if limits.log:
                axes.set_yscale("log", nonpositive="clip")
            axes.set_xlim(*xlim)
            axes.set_ylim(limits.low, limits.high)

    def write_in_panel(self, axes: Axes, text: str) -> None:
        """Write a text into the middle of a panel, such as the reason why it is empty."""
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", size=NORMAL_FONT, color=GREY)
