"""The table of the largest votes, and the noise scale, as `explain` prints them for networks."""

from typing import Any

from reluviz.cli.explain.text_page import TextPage, column, number
from reluviz.cli.explain.top_votes import sum_of_rest, top_votes


def add_vote_table(page: TextPage, found: dict[str, Any]) -> None:
    """Add a table of the points with the largest votes, and how to read it.

    Args:
        page: the text.
        found: returned by `explanation`.
    """
    points, count = found["points"], found["data"]["N"]
    norms = points["contribution_norm"]
    total = sum(norm or 0.0 for norm in norms)
    shown = top_votes(norms)
    others = count - len(shown)
    index = [*(f"{i}" for i in shown), *(["others"] if others else []), "all"]
    blank = [""] * (2 if others else 1)

    def cells(name: str) -> list[str]:
        return [*column([points[name][i] for i in shown]), *blank]

    def sums(values: list[float | None], total: float | None) -> list[str]:
        return column([values[i] for i in shown] + ([sum_of_rest(values, shown)] if others else []) + [total])

    parts = [None if norm is None else 100 * norm / total for norm in norms]
    shares = [None if share is None else 100 * share for share in points["vote_share"]]
    page.table(
        [
            ("\npoint", index),
            ("\nx", cells("x")),
            ("\ny", cells("y")),
            ("residual\nrᵢ", cells("residual")),
            ("norm of\nvote |cᵢ|", sums(norms, total)),
            ("part of\nnorms, %", sums(parts, 100.0)),
            ("share of\nall, %", sums(shares, 100.0 if found["gradient_norm"] else None)),
        ],
        totals=1 + bool(others),
    )
    page.paragraph("Share: the part of the gradient that comes from the point; negative pulls against the majority.")
    if others:
        page.paragraph(f"The {len(shown)} largest votes of {count:,}; i counts from 0, in the order of x.")


def add_noise_scale(page: TextPage, found: dict[str, Any]) -> None:
    """Add the gradient noise scale, and the batch size to compare it with."""
    scale, size = found["gradient_noise_scale"], found["sampler"]["batch_size"]
    if scale is None:
        return
    sentence = f"Gradient noise scale: {number(scale, 3)}, the batch size at which noise and signal are equal"
    full = found["sampler"]["name"] == "full"
    page.paragraph(f"{sentence}; {'here every update uses all points' if full else f'here B = {size:,}'}.")
