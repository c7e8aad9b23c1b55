"""Explains the ReLU network in words and equations, with tables of its votes and its units."""

from typing import Any

from reluviz.cli.explain.facts import MAX_HESSIAN_PARAMETERS
from reluviz.cli.explain.text_page import TextPage, column, number, percent, vote_count
from reluviz.cli.explain.vote_table import add_noise_scale, add_vote_table
from reluviz.record import tags

MAX_UNIT_ROWS = 40
"""Of the table of units."""
GRADIENTS = {
    "input_slope": "∂L/∂wₖ = (2/N) Σ rᵢ vₖ aᵢₖ xᵢ",
    "bias": "∂L/∂bₖ = (2/N) Σ rᵢ vₖ aᵢₖ",
    "output_weight": "∂L/∂vₖ = (2/N) Σ rᵢ aᵢₖ (wₖ xᵢ + bₖ)",
    "output_bias": "∂L/∂c  = (2/N) Σ rᵢ",
}
TRAINED = {
    "all": "all layers",
    "output": "the output layer only",
    "hidden": "the hidden layer only",
    "ridge": "the output layer solved by ridge regression",
}
ARROWS = {1: "→", -1: "←", 0: "none"}


def title(found: dict[str, Any]) -> str:
    """Return the network's size and seed in words."""
    width = len(found["units"]["elbow"])
    return f"A network of {width:,} ReLU{'s' * (width > 1)}, seed {found['seed']},"


def add_model(page: TextPage, found: dict[str, Any], updates: list[tuple[str, str]]) -> None:
    """Add network, loss, gradient and update.

    Args:
        page: the text.
        found: returned by `explanation`.
        updates: the update as equations with values.
    """
    test = found[tags.LOSS_TEST]
    rows = [
        ("f(x) = c + Σₖ vₖ relu(wₖ x + bₖ)", f"c = {number(found['parameters']['output_bias'])}"),
        ("rᵢ = f(xᵢ) − yᵢ", ""),
        ("L = (1/N) Σ rᵢ²", f"L = {number(found[tags.LOSS_TRAIN])}"),
    ]
    if test is not None:
        rows.append(("  on the test points", number(test)))
    rows.append(("aᵢₖ = 1 where wₖ xᵢ + bₖ > 0, else 0", ""))
    for name, formula in GRADIENTS.items():
        value = found["gradient"].get(name)
        size = "frozen" if name not in found["trained"] else f"norm {number(_norm(value))}"
        rows.append((formula, f"= {number(value)}" if isinstance(value, float) else size))
    rows.append(("all of them together", f"norm {number(found['gradient_norm'])}"))
    page.heading("Model and loss, at the start")
    page.equations([*rows, *updates])


def add_votes(page: TextPage, found: dict[str, Any]) -> None:
    """Add the answer to whether all points get the same vote, and a table of the largest votes."""
    points, count = found["points"], found["data"]["N"]
    norms = points["contribution_norm"]
    page.heading("Do all points get the same vote?")
    effective, total = found["effective_votes"], sum(norm or 0.0 for norm in norms)
    if effective is None:
        page.paragraph("There is no vote: no point contributes to the gradient.")
        return
    i = max(range(count), key=lambda i: norms[i] or 0.0)
    distance = " and, on vₖ, to its distance from the elbow" if "output_weight" in found["trained"] else ""
    page.paragraph(
        f"No: a point votes on unit k only where it activates it (aᵢₖ = 1), in proportion to its residual rᵢ"
        f"{distance}. The contributions cᵢ amount to {vote_count(effective)} effective votes of {count:,}. The largest "
        f"contribution, at x = {number(points['x'][i])}, has {percent((norms[i] or 0.0) / total)} of the sum of their "
        f"norms, where an equal part is {percent(1 / count)}."
    )
    add_noise_scale(page, found)
    add_vote_table(page, found)


def add_units(page: TextPage, found: dict[str, Any]) -> None:
    """Add the units, and the losses of the solved output layer."""
    units, counts = found["units"], found["unit_counts"]
    width = len(units["elbow"])
    page.heading("Units")
    page.paragraph(
        f"Of {width:,}: bent {counts['bent']:,} (elbow among the points), linear {counts['linear']:,} (on at every "
        f"point), dead {counts['dead']:,} (off at every point)."
    )
    page.equations(
        [
            ("elbow βₖ = −bₖ/wₖ", "where unit k bends"),
            ("→ or ←", "the side of the elbow on which it is active"),
            ("slope jump vₖ |wₖ|", "how much f′ changes there"),
        ]
    )
    rows = range(min(width, MAX_UNIT_ROWS))
    page.table(
        [
            ("\nk", [f"{k:,}" for k in rows]),
            ("elbow\nβₖ", column([units["elbow"][k] for k in rows])),
            ("active\nside", [ARROWS[units["orientation"][k]] for k in rows]),
            ("input\nslope wₖ", column([units["input_slope"][k] for k in rows])),
            ("output\nweight vₖ", column([units["output_weight"][k] for k in rows])),
            ("slope\njump", column([units["slope_jump"][k] for k in rows])),
            ("\nstatus", [units["unit_status"][k] for k in rows]),
        ],
        left=("\nstatus",),
    )
    if width > MAX_UNIT_ROWS:
        page.paragraph(f"and {width - MAX_UNIT_ROWS:,} more (--json has them all)")
    _add_solved(page, found)


def add_step(page: TextPage, found: dict[str, Any]) -> None:
    """Add the sharpness and the limits of the step size."""
    if found["train"] == "ridge":
        return
    now, output = found["step"], found["train"] == "output"
    limit, sharpness = now["largest_stable_step"], now["sharpness"]
    momentum = "(1 + μ) " if now["momentum"] else ""
    rows = []
    if sharpness is not None:
        rows.append(("sharpness λ: largest eigenvalue of the Hessian", f"λ = {number(sharpness)}"))
        rows.append(("stability ratio η λ / 2", f"= {number(now['stability_ratio'])}"))
    if limit is not None:
        formula = f"{momentum}N/σ_max²" if output else f"{momentum}2/λ"
        rows.append((f"largest stable step  {formula}", f"η < {number(limit)}"))
    page.heading(f"Step size, training {TRAINED[found['train']]}")
    if rows:
        page.equations(rows)
    if sharpness is None and not output:
        page.paragraph(
            "The Hessian's largest eigenvalue is left out: it is computed for at most "
            f"{MAX_HESSIAN_PARAMETERS:,} parameters, and for fewer with very many points."
        )
    if limit is None:
        return
    position = f"η = {number(now['lr'])} is {'below' if now['stable'] else 'beyond'} the limit"
    if output:
        page.paragraph(
            f"{position}. Beyond the limit it diverges. σ_max is the largest singular value of the features."
        )
    else:
        page.paragraph(
            f"{position} at the start. Beyond it the loss grows until the network reaches a flatter place, or "
            "diverges; λ changes as the network learns."
        )


def _add_solved(page: TextPage, found: dict[str, Any]) -> None:
    best, ridge, data = found["least_squares"], found["ridge"], found["data"]
    page.heading("The output layer solved, on the features of these elbows")
    if best is None:
        page.paragraph("Left out: too many points times units.")
        return
    rows = [("least squares", _losses(best))]
    if ridge is not None:
        rows.append((f"ridge, λ = {number(ridge['lambda'])}", _losses(ridge)))
    if data["noise_floor"] is not None:
        floor = f"train {number(data['noise_floor'])}"
        if best["expected_test_error"] is not None:
            floor += f", test {number(best['expected_test_error'])}"
        rows.append(("noise floor: mean ε², σ² rank/N", floor))
    rank, columns = best["rank"], len(found["units"]["elbow"]) + 1
    rows += [
        ("rank of the features [relu, 1]", f"{rank:,} of {columns:,} columns"),
        ("condition number of the features", number(best["condition_number"], 3)),
        ("  its square: of the Hessian (2/N) ΦᵀΦ", number(best["hessian_condition_number"], 3)),
    ]
    page.equations(rows)
    page.paragraph("Gradient descent needs a number of updates in proportion to the last number to get there.")


def _losses(solved: dict[str, Any]) -> str:
    test = f", test {number(solved[tags.LOSS_TEST])}" if tags.LOSS_TEST in solved else ""
    return f"train {number(solved[tags.LOSS_TRAIN])}{test}"


def _norm(values: Any) -> float | None:
    if not isinstance(values, list) or None in values:
        return None
    return float(sum(value * value for value in values) ** 0.5)
