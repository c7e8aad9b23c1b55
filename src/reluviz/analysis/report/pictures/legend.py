"""The legend of a picture."""

from typing import Any

from matplotlib.lines import Line2D

from reluviz.analysis.report.pictures.layout import Layout
from reluviz.analysis.report.pictures.styles import Styles, format_value, short_key


def legend(layout: Layout, styles: Styles, markers: bool = False) -> list[Any]:
    """Return the legend entries for the colours of a picture.

    Args:
        layout: the panels of the picture.
        styles: the styles of the values.
        markers: whether values have markers, rather than dashes.
    """
    if layout.colour_key is None:
        return []
    found: list[Any] = []
    for value in layout.colour_values:
        style = styles.of(layout.colour_key, value)
        line_style: dict[str, Any] = {"marker": style.marker} if markers else {"linestyle": style.dash}
        if markers:
            line_style |= {"markersize": 6, "linestyle": "-"}
        label = f"{short_key(layout.colour_key, styles.keys)} = {format_value(value)}"
        found.append(Line2D([], [], color=style.colour, linewidth=1.7, label=label, **line_style))
    return found
