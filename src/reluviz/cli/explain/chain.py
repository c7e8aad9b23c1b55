"""Explains a chain of several layers: its equations, the backward pass of one point, its votes, units and kinks."""

from typing import Any

from reluviz.cli.explain.text_page import TextPage, column, number, percent, vote_count
from reluviz.cli.explain.vote_table import add_noise_scale, add_vote_table
from reluviz.record import tags

MAX_SHOWN_VALUES = 4
"""A vector of at most this many numbers is printed; of a longer one its norm."""
MAX_KINK_ROWS = 30
"""Of the table of kinks."""
PHI = {"relu": "max(z, 0)", "abs": "|z|", "leaky": "z where z > 0, {} z elsewhere"}
TRAINED = {"all": "all layers", "output": "the output layer only", "hidden": "the hidden layers only"}
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def title(found: dict[str, Any]) -> str:
    """Return the network's layers and seed in words."""
    layers = " + ".join(f"{width:,}" for width in found["hidden"])
    return f"A chain of {layers} units, seed {found['seed']},"


def add_model(page: TextPage, found: dict[str, Any], updates: list[tuple[str, str]]) -> None:
    """Add the chain, its loss, its gradient, the update, and the backward pass of one point.

    Args:
        page: the text.
        found: returned by `explanation`.
        updates: the update as equations with values.
    """
    last, test = len(found["hidden"]), found[tags.LOSS_TEST]
    rows = [
        ("h₀ = x,  zₗ = Wₗ hₗ₋₁ + bₗ,  hₗ = φ(zₗ)", f"for l = 1 to {last}"),
        ("φ(z) = " + PHI[found["activation"]].format(number(found["slope"])), ""),
        (f"f(x) = v · h{_index(last)} + c", f"c = {number(found['parameters']['output_bias'])}"),
        ("rᵢ = f(xᵢ) − yᵢ", ""),
        ("L = (1/N) Σ rᵢ²", f"L = {number(found[tags.LOSS_TRAIN])}"),
    ]
    if test is not None:
        rows.append(("  on the test points", number(test)))
    rows += [("all gradients together", f"norm {number(found['gradient_norm'])}"), *updates]
    page.heading("Model and loss, at the start")
    page.equations(rows)
    _add_backward_pass(page, found)


def _add_backward_pass(page: TextPage, found: dict[str, Any]) -> None:
    now, last = found["backward"], len(found["hidden"])
    r = now["residual"]
    page.heading(f"The backward pass of point {now['point']}, which has the largest vote")
    rows = [("h₀ = x", f"= {number(now['x'])}")]
    for layer, (z, h) in enumerate(zip(now["preactivations"], now["activations"], strict=True), start=1):
        active = f"{sum(value > 0 for value in z):,} of {len(z):,} units have z > 0"
        rows.append((f"z{_index(layer)} = W{_index(layer)} h{_index(layer - 1)} + b{_index(layer)}", _vector(z)))
        rows.append((f"h{_index(layer)} = φ(z{_index(layer)})", f"{_vector(h)}; {active}"))
    rows += [
        (f"f = v · h{_index(last)} + c", f"= {number(now['f'])}"),
        ("r = f − y", f"= {number(now['f'])} − {number(now['y'])} = {number(r)}"),
        ("∂r²/∂f = 2 r", f"= {number(now['twice_residual'])}"),
        (f"δ{_index(last)} = ∂f/∂z{_index(last)} = v φ′(z{_index(last)})", _vector(now["deltas"][-1])),
    ]
    for layer in range(last - 1, 0, -1):
        after, here = _index(layer + 1), _index(layer)
        rows.append((f"δ{here} = (W{after}ᵀ δ{after}) φ′(z{here})", _vector(now["deltas"][layer - 1])))
    for name, value in now["gradients"].items():
        formula, factor = _gradient_formula(name, last), ""
        hidden = _layer_of(name, last)
        if hidden is not None and not name.startswith("bias"):
            factor = f" = 2 |r| |δ{_index(hidden)}| |h{_index(hidden - 1)}|"
        elif name == "output_weight":
            factor = f" = 2 |r| |h{_index(last)}|"
        rows.append((f"∂r²/∂{formula}", f"norm{factor} = {number(_norm(value))}" if factor else _vector(value)))
    rows.append(("sum of all squares, |g|²", f"= {number(now['squared_norm'])}"))
    page.equations(rows)
    page.paragraph(f"Its vote is g/N, of norm {number(now['squared_norm'] ** 0.5 / found['data']['N'])}.")


def add_votes(page: TextPage, found: dict[str, Any]) -> None:
    """Add the answer to whether all points get the same vote, by layer and in all, and a table of the largest votes."""
    points, count = found["points"], found["data"]["N"]
    norms = points["contribution_norm"]
    page.heading("Do all points get the same vote?")
    effective, total = found["effective_votes"], sum(norm or 0.0 for norm in norms)
    if effective is None:
        page.paragraph("There is no vote: no point contributes to the gradient.")
        return
    i = max(range(count), key=lambda i: norms[i] or 0.0)
    page.paragraph(
        "No: a point votes on a unit only along the paths of units with z > 0 at it, in proportion to its residual rᵢ "
        f"and to what it sends into each layer. The contributions cᵢ amount to {vote_count(effective)} effective votes "
        f"of {count:,}. The largest contribution, at x = {number(points['x'][i])}, has "
        f"{percent((norms[i] or 0.0) / total)} of the sum of their norms, where an equal part is {percent(1 / count)}."
    )
    add_noise_scale(page, found)
    trained = [layer for layer in found["layers"] if "effective" in layer]
    page.table(
        [
            ("layer", [layer["name"].removeprefix("layer_") for layer in trained]),
            ("norm of\ngradient", column([layer["gradient_norm"] for layer in trained])),
            ("effective\nvotes", column([layer["effective"] for layer in trained])),
            ("noise\nscale", column([layer["noise_scale"] for layer in trained])),
        ]
    )
    add_vote_table(page, found)


def add_units(page: TextPage, found: dict[str, Any]) -> None:
    """Add the units by layer, the kinks of the function, and the loss of the solved output layer."""
    hidden, kinks = found["layers"][:-1], found["kinks"]
    page.heading("Units and kinks")
    page.equations(
        [
            ("bent", "z changes its sign among the points"),
            ("linear", "z > 0 at every point" if found["slope"] == 0 else "z has one sign at every point"),
            ("dead", "z <= 0 at every point, for ReLUs: it does not learn"),
        ]
    )
    page.table(
        [
            ("layer", [f"{layer}" for layer in range(1, len(hidden) + 1)]),
            ("units", [f"{width:,}" for width in found["hidden"]]),
            *((name, [f"{layer[name]:,}" for layer in hidden]) for name in ("bent", "linear", "dead")),
            ("kinks of f", [f"{sum(kink['layer'] == n for kink in kinks):,}" for n in range(1, len(hidden) + 1)]),
        ]
    )
    shown = kinks[:MAX_KINK_ROWS]
    if shown:
        page.paragraph("A kink of f lies where the z of one of its units changes its sign:")
        page.table(
            [
                ("x", column([kink["x"] for kink in shown])),
                ("layer", [f"{kink['layer']}" for kink in shown]),
                ("unit", [f"{kink['unit']:,}" for kink in shown]),
                ("slope jump", column([kink["slope_jump"] for kink in shown])),
            ]
        )
    if len(kinks) > len(shown):
        page.paragraph(f"and {len(kinks) - len(shown):,} more (--json has them all)")
    best = found["least_squares"]
    if best is not None:
        test = f", test {number(best[tags.LOSS_TEST])}" if tags.LOSS_TEST in best else ""
        page.heading("The output layer solved, on the last hidden layer")
        page.equations(
            [
                ("least squares", f"train {number(best[tags.LOSS_TRAIN])}{test}"),
                ("rank of the features [h, 1]", f"{best['rank']:,} of {found['hidden'][-1] + 1:,} columns"),
                ("condition number of the features", number(best["condition_number"], 3)),
            ]
        )


def add_step(page: TextPage, found: dict[str, Any]) -> None:
    """Add the limit of the step size where theory knows it."""
    now = found["step"]
    limit = now["largest_stable_step"]
    page.heading(f"Step size, training {TRAINED[found['train']]}")
    if limit is None:
        page.paragraph(f"η = {number(now['lr'])}. No limit is known in advance.")
        return
    momentum = "(1 + μ) " if now["momentum"] else ""
    page.equations([(f"largest stable step  {momentum}N/σ_max²", f"η < {number(limit)}")])
    position = "below" if now["stable"] else "beyond"
    page.paragraph(f"η = {number(now['lr'])} is {position} the limit. σ_max is the largest singular value of [h, 1].")


def _index(layer: int | None) -> str:
    return str(layer).translate(SUBSCRIPTS)


def _layer_of(name: str, last: int) -> int | None:
    """Return the hidden layer of a parameter; None for the output layer."""
    if name.startswith("output"):
        return None
    return int(name.rpartition("_")[2]) if name[-1].isdigit() else 1


def _gradient_formula(name: str, last: int) -> str:
    """Return a parameter and the gradient of r² with respect to it, as text."""
    layer = _layer_of(name, last)
    if layer is None:
        return f"v = 2 r h{_index(last)}" if name == "output_weight" else "c = 2 r"
    here, before = _index(layer), _index(layer - 1)
    return f"b{here} = 2 r δ{here}" if name.startswith("bias") else f"W{here} = 2 r δ{here} h{before}ᵀ"


def _vector(values: Any) -> str:
    """Return a number, a short vector, or the norm of a longer one, as text."""
    if not isinstance(values, list):
        return f"= {number(values)}"
    if len(values) <= MAX_SHOWN_VALUES and not any(isinstance(value, list) for value in values):
        # without minus signs before 0
        return f"= ({', '.join(number(value + 0.0, 3) for value in values)})"
    return f"norm {number(_norm(values))}"


def _norm(values: Any) -> float:
    """Return the Euclidean norm of nested lists of numbers."""
    if isinstance(values, list):
        return float(sum(_norm(value) ** 2 for value in values) ** 0.5)
    return abs(float(values))
