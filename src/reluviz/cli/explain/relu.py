"""The ReLU network in words and equations, with tables of its votes and its units."""

from typing import Any

from reluviz.cli.explain.facts import MOST_PARAMETERS
from reluviz.cli.explain.text_page import TextPage, column, number, percent, voters
from reluviz.cli.explain.top_votes import rest, top_votes

MOST_UNITS = 40
"""Rows of the table of units."""
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
    """Return the model in a few words."""
    width = len(found["units"]["elbow"])
    return f"A network of {width:,} ReLU{'s' * (width > 1)}, seed {found['seed']},"


def model(page: TextPage, found: dict[str, Any], updates: list[tuple[str, str]]) -> None:
    """Show network, loss, gradient and update."""
    test = found["loss/test"]
    rows = [
        ("f(x) = c + Σₖ vₖ relu(wₖ x + bₖ)", f"c = {number(found['parameters']['output_bias'])}"),
        ("rᵢ = f(xᵢ) − yᵢ", ""),
        ("L = (1/N) Σ rᵢ²", f"L = {number(found['loss/train'])}"),
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


def votes(page: TextPage, found: dict[str, Any]) -> None:
    """Answer whether all points get the same vote, and show the votes of the loudest."""
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
        f"{distance}. The contributions cᵢ amount to {voters(effective)} effective votes of {count:,}. The loudest "
        f"point, x = {number(points['x'][i])}, has {percent((norms[i] or 0.0) / total)} of the sum of their "
        f"norms, where an equal part is {percent(1 / count)}."
    )
    _noise(page, found)
    shown = top_votes(norms)
    others = count - len(shown)
    index = [*(f"{i}" for i in shown), *(["others"] if others else []), "all"]
    blank = [""] * (2 if others else 1)

    def cells(name: str) -> list[str]:
        return [*column([points[name][i] for i in shown]), *blank]

    def sums(values: list[float | None], last: float | None) -> list[str]:
        return column([values[i] for i in shown] + ([rest(values, shown)] if others else []) + [last])

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


def more(page: TextPage, found: dict[str, Any]) -> None:
    """Show the units, and what solving the output layer gives."""
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
    rows = range(min(width, MOST_UNITS))
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
    if width > MOST_UNITS:
        page.paragraph(f"and {width - MOST_UNITS:,} more (--json has them all)")
    _solved(page, found)


def step(page: TextPage, found: dict[str, Any]) -> None:
    """Show how large a step may be."""
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
            f"The Hessian's largest eigenvalue is left out: it takes at most {MOST_PARAMETERS:,} parameters, "
            "and fewer of them with very many points."
        )
    if limit is None:
        return
    inside = f"η = {number(now['lr'])} is {'inside' if now['stable'] else 'beyond it'}"
    if output:
        page.paragraph(f"{inside}. Beyond it: diverges. σ_max is the largest singular value of the features.")
    else:
        page.paragraph(
            f"{inside} at the start. Beyond it the loss grows until the network has found a flatter place, or "
            "diverges; λ changes as the network learns."
        )


def _noise(page: TextPage, found: dict[str, Any]) -> None:
    scale, size = found["gradient_noise_scale"], found["sampler"]["batch_size"]
    if scale is None:
        return
    said = f"Gradient noise scale: {number(scale, 3)}, the batch size at which noise and signal are even"
    full = found["sampler"]["name"] == "full"
    page.paragraph(f"{said}; {'here every update sees all points' if full else f'here B = {size:,}'}.")


def _solved(page: TextPage, found: dict[str, Any]) -> None:
    best, ridge, data = found["least_squares"], found["ridge"], found["data"]
    page.heading("The output layer solved, on the features of these elbows")
    if best is None:
        page.paragraph("Left out: too many points times units.")
        return
    rows = [("least squares", _losses(best)), (f"ridge, λ = {number(ridge['lambda'])}", _losses(ridge))]
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
    page.paragraph("To get there, gradient descent needs updates in proportion to the last number.")


def _losses(solved: dict[str, Any]) -> str:
    test = f", test {number(solved['loss/test'])}" if "loss/test" in solved else ""
    return f"train {number(solved['loss/train'])}{test}"


def _norm(values: Any) -> float | None:
    if not isinstance(values, list) or None in values:
        return None
    return float(sum(value * value for value in values) ** 0.5)
