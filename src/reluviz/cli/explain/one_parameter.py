"""The constant and the linear model in words, equations and a table of votes."""

import math
from typing import Any

from reluviz.cli.explain.text_page import TextPage, column, number, percent, voters
from reluviz.cli.explain.top_votes import rest, top_votes

FORMULAS = {
    "constant": {
        "f": "θ",
        "r": "θ − yᵢ",
        "gradient": "(2/N) Σ rᵢ",
        "short": "2 (θ − θ*)",
        "contribution": "2 rᵢ/N",
        "optimum": "Σ yᵢ / N",
        "candidate": "yᵢ",
        "weight": "1/N",
        "factor": "1 − 2η",
        "limit": "1",
        "limit with momentum": "1 + μ",
        "variance": "η Var(y) / (B′ (1 − η))",
    },
    "linear": {
        "f": "θ x",
        "r": "θ xᵢ − yᵢ",
        "gradient": "(2/N) Σ rᵢ xᵢ",
        "short": "2 mean(x²) (θ − θ*)",
        "contribution": "2 rᵢxᵢ/N",
        "optimum": "Σ xᵢyᵢ / Σ xᵢ²",
        "candidate": "yᵢ/xᵢ",
        "weight": "xᵢ²/Σ xⱼ²",
        "factor": "1 − 2η mean(x²)",
        "limit": "1 / mean(x²)",
        "limit with momentum": "(1 + μ) / mean(x²)",
        "variance": "η mean(x²ε²) / (B′ mean(x²) (1 − η/η₂))",
    },
}


def title(found: dict[str, Any]) -> str:
    """Return the model in a few words."""
    return f"y = {FORMULAS[found['model']]['f']}"


def model(page: TextPage, found: dict[str, Any], updates: list[tuple[str, str]]) -> None:
    """Show model, loss, gradient, update and optimum."""
    f, data, best = FORMULAS[found["model"]], found["data"], found["optimum"]
    start = found["parameters"]["theta"]
    after = found["step"]["theta_after_one_update"]
    if after is not None:
        mean = "" if found["sampler"]["name"] == "full" else " on average"
        updates = [*updates, ("  after the first update", f"θ₁ = {number(after)}{mean}")]
    page.heading("Model and loss, at the start")
    page.equations(
        [
            (f"f(x) = {f['f']}", f"θ₀ = {number(start)}"),
            (f"rᵢ = f(xᵢ) − yᵢ = {f['r']}", ""),
            ("L(θ) = (1/N) Σ rᵢ²", f"L(θ₀) = {number(found['loss/train'])}"),
            (f"dL/dθ = {f['gradient']}", f"dL/dθ = {number(found['gradient']['theta'])}"),
            (f"      = {f['short']}", f"θ₀ − θ* = {number(_minus(start, best['theta']))}"),
            *updates,
        ]
    )
    page.heading("Optimum: dL/dθ = 0")
    rows = [
        (f"θ* = {f['optimum']}", f"θ* = {number(best['theta'], 6)}"),
        ("   = Σ hᵢ · candidateᵢ", f"L(θ*) = {number(best['loss/train'])}"),
        (f"candidateᵢ = {f['candidate']}: what point i asks for", ""),
        (f"hᵢ = {f['weight']}: how hard, its part of all weight", ""),
    ]
    if found["model"] == "linear":
        sums = [("Σ xᵢyᵢ", f"{number(data['sum_xy'], 6)}"), ("Σ xᵢ²", f"{number(data['sum_x2'], 6)}")]
        rows[2:2] = sums
    if data["noise_floor"] is not None:
        rows.append(("noise floor: mean (yᵢ − target(xᵢ))²", number(data["noise_floor"])))
    page.equations(rows)


def votes(page: TextPage, found: dict[str, Any]) -> None:
    """Answer whether all points get the same vote, and show the votes of the loudest."""
    f, points, count = FORMULAS[found["model"]], found["points"], found["data"]["N"]
    page.heading("Do all points get the same vote?")
    page.paragraph(_answer(found))
    shown = top_votes(points["contribution_norm"])
    others = count - len(shown)

    def cells(name: str, scale: float = 1, last: float | None = None, between: bool = True) -> list[str]:
        values: list[float | None] = [_times(points[name][i], scale) for i in shown]
        if others:
            values.append(_times(rest(points[name], shown), scale) if between else 0.0)
        texts = column([*values, last if last is not None else 0.0])
        if others and not between:
            texts[-2] = ""
        return texts if last is not None else [*texts[:-1], ""]

    index = [*(f"{i}" for i in shown), *(["others"] if others else []), "all"]
    total = 100.0 if found["gradient_norm"] else None
    page.table(
        [
            ("\npoint", index),
            ("\nx", cells("x", between=False)),
            ("\ny", cells("y", between=False)),
            (f"asks for\n{f['candidate']}", cells("candidate", last=found["optimum"]["theta"], between=False)),
            ("how hard\nhᵢ, %", cells("leverage", 100, 100.0)),
            ("residual\nrᵢ", cells("residual", between=False)),
            (f"vote cᵢ\n{f['contribution']}", cells("contribution", last=found["gradient"]["theta"])),
            ("share of\nall, %", cells("vote_share", 100, total)),
        ],
        totals=1 + bool(others),
    )
    if others:
        page.paragraph(f"The {len(shown)} largest votes of {count:,}; i counts from 0, in the order of x.")


def more(page: TextPage, found: dict[str, Any]) -> None:
    """Add nothing: one parameter has no units and no features."""


def step(page: TextPage, found: dict[str, Any]) -> None:
    """Show the factor of the error, the limits of the step size, and what noise remains."""
    f, now, data = FORMULAS[found["model"]], found["step"], found["data"]
    rows: list[tuple[str, str]] = []
    if (rho := now["contraction_factor"]) is not None:
        updates = now["updates_to_one_percent"]
        rows += [
            ("θ − θ* is multiplied at each update by ρ", ""),
            (f"ρ = {f['factor']}", f"ρ = {number(rho)}"),
            ("updates until 1 % of θ₀ − θ* is left", "never" if updates is None else f"{updates:,}"),
        ]
    if found["model"] == "linear":
        rows.append(("mean(x²)", number(data["mean_x2"], 6)))
    if (limit := now["largest_stable_step"]) is not None:
        key = "limit with momentum" if now["momentum"] else "limit"
        rows.append((f"largest stable step  {f[key]}", f"η < {number(limit, 6)}"))
    batch = found["sampler"]["batch_size"]
    if found["model"] == "linear" and (limit := now["largest_mean_square_step"]) is not None:
        rows.append((f"the same for SGD with B = {batch}, in mean square", f"η₂ = {number(limit, 6)}"))
    if (variance := now["stationary_variance"]) is not None:
        effective = "B" if found["sampler"]["name"] == "with_replacement" else "B (N − 1)/(N − B)"
        rows.append(("Var(θ) of SGD in the long run", number(variance)))
        rows.append((f"  = {f['variance']}", f"B′ = {effective}"))
        if found["model"] == "linear":
            rows.append(("  ε: the residuals at θ*", ""))
    page.heading("Step size")
    if rows:
        page.equations(rows)
    if sentence := _verdict(found):
        page.paragraph(sentence)


def _answer(found: dict[str, Any]) -> str:
    points, count, theta = found["points"], found["data"]["N"], number(found["parameters"]["theta"])
    equal = percent(1 / count)
    effective = found["effective_votes"]
    if effective is None:
        now = f"At θ = {theta} no point contributes: every residual is 0."
    else:
        now = f"At θ = {theta} the contributions cᵢ amount to {voters(effective)} effective votes of {count:,}"
    if found["model"] == "constant":
        reason = ": a point pulls in proportion to its residual, its distance from θ." if effective is not None else ""
        return f"Yes: point i asks for yᵢ and every point is heard alike, with weight 1/N = {equal}. {now}{reason}"
    weights = points["leverage"]
    i = max(range(count), key=weights.__getitem__)
    j = min(range(count), key=weights.__getitem__)
    silent = sum(x == 0 for x in points["x"])
    if math.isclose(weights[i], weights[j]):
        return f"Here yes: point i asks for yᵢ/xᵢ and is heard with weight xᵢ², and every |xᵢ| is the same. {now}."
    answer = (
        f"No: point i asks for yᵢ/xᵢ and is heard with weight xᵢ². The loudest, x = {number(points['x'][i])}, has "
        f"{percent(weights[i])} of the weight, {number(weights[i] * count, 3)} times an equal share of {equal}; "
        f"the quietest, x = {number(points['x'][j])}, has {percent(weights[j])}. "
    )
    if silent:
        who = "The point at x = 0 asks" if silent == 1 else f"The {silent:,} points at x = 0 ask"
        answer += f"{who} for nothing and {'is' if silent == 1 else 'are'} not heard. "
    return answer + now + ("" if effective is None else ": weight times distance from the candidate.")


def _verdict(found: dict[str, Any]) -> str:
    now = found["step"]
    eta, limit = f"η = {number(now['lr'], 6)}", now["largest_stable_step"]
    if limit is None:
        return ""
    end = number(limit, 6)
    if now["lr"] == limit:
        return f"{eta} is the limit itself: the error neither shrinks nor grows."
    if not now["stable"]:
        return f"{eta} is beyond {end}: it diverges."
    said = f"{eta} is inside: it converges. Beyond {end} it diverges."
    rho = now["contraction_factor"]
    if rho is not None and rho < 0:
        said = f"{eta} is inside: it converges, on alternating sides of θ* as ρ < 0. Beyond {end} it diverges."
    if rho == 0:
        said = f"{eta} arrives at θ* in one update. Beyond {end} it diverges."
    if (mean_square := now["largest_mean_square_step"]) is not None:
        variance = now["stationary_variance"]
        if variance is None:
            said = (
                f"{eta} is below {end}, the limit of gradient descent, but beyond η₂ = {number(mean_square, 6)}: "
                "with minibatches E(θ − θ*)² grows."
            )
        else:
            spread = number(math.sqrt(variance))
            said += f" With minibatches θ ends up wandering about θ* with standard deviation {spread}."
    elif found["sampler"]["name"] == "epoch":
        said += " Batches of a shuffled epoch depend on each other: how far θ wanders has no closed form here."
    return said


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value
