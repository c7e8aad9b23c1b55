"""What the colours of a picture mean."""

from typing import Any

from matplotlib.lines import Line2D

from reluviz.analysis.report.pictures.layout import Layout
from reluviz.analysis.report.pictures.styles import Styles, short, word


def legend(plan: Layout, looks: Styles, marked: bool = False) -> list[Any]:
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
