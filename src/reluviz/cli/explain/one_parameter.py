"""Explains a model f(x) = theta phi(x) in words, equations and a table of votes.

The formulas are those in the model's record. A model whose points all have the same weight, the constant, needs fewer.
"""

import math
from collections.abc import Mapping
from typing import Any

from reluviz.cli.explain.text_page import TextPage, column, number, percent, vote_count
from reluviz.cli.explain.top_votes import sum_of_rest, top_votes
from reluviz.core.models import MODELS
from reluviz.record import tags

SAME_WEIGHT = "same weight"
"""The key in a model's words for the answer that all points have the same weight for any data."""


def title(found: dict[str, Any]) -> str:
    """Return the model's equation."""
    return f"y = {_words(found)['f']}"


def add_model(page: TextPage, found: dict[str, Any], updates: list[tuple[str, str]]) -> None:
    """Add model, loss, gradient, update and optimum.

    Args:
        page: the text.
        found: returned by `explanation`.
        updates: the update as equations with values.
    """
    f, data, best = _words(found), found["data"], found["optimum"]
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
            ("L(θ) = (1/N) Σ rᵢ²", f"L(θ₀) = {number(found[tags.LOSS_TRAIN])}"),
            (f"dL/dθ = {f['gradient']}", f"dL/dθ = {number(found['gradient']['theta'])}"),
            (f"      = {f['gradient from optimum']}", f"θ₀ − θ* = {number(_minus(start, best['theta']))}"),
            *updates,
        ]
    )
    page.heading("Optimum: dL/dθ = 0")
    rows = [
        (f"θ* = {f['optimum']}", f"θ* = {number(best['theta'], 6)}"),
        ("   = Σ hᵢ · candidateᵢ", f"L(θ*) = {number(best[tags.LOSS_TRAIN])}"),
        (f"candidateᵢ = {f['candidate']}: the value that point i asks for", ""),
        (f"hᵢ = {f['weight']}: the point's part of the total weight", ""),
    ]
    if SAME_WEIGHT not in f:
        points = found["points"]
        asked = zip(points["weight"], points["candidate"], strict=True)
        products = sum(weight * candidate for weight, candidate in asked if candidate is not None)
        sums = {f["sum of products"]: products, f["sum of squares"]: sum(points["weight"])}
        rows[2:2] = [(name, number(value, 6)) for name, value in sums.items()]
    if data["noise_floor"] is not None:
        rows.append(("noise floor: mean (yᵢ − target(xᵢ))²", number(data["noise_floor"])))
    page.equations(rows)


def add_votes(page: TextPage, found: dict[str, Any]) -> None:
    """Add the answer to whether all points get the same vote, and a table of the largest votes."""
    f, points, count = _words(found), found["points"], found["data"]["N"]
    page.heading("Do all points get the same vote?")
    page.paragraph(_same_vote_answer(found))
    shown = top_votes(points["contribution_norm"])
    others = count - len(shown)

    def cells(name: str, scale: float = 1, total: float | None = None, summed: bool = True) -> list[str]:
        """Return a column: the points shown, the sum of the others unless not `summed`, the total if there is one."""
        values: list[float | None] = [_times(points[name][i], scale) for i in shown]
        if others:
            values.append(_times(sum_of_rest(points[name], shown), scale) if summed else 0.0)
        texts = column([*values, total if total is not None else 0.0])
        if others and not summed:
            texts[-2] = ""
        return texts if total is not None else [*texts[:-1], ""]

    index = [*(f"{i}" for i in shown), *(["others"] if others else []), "all"]
    total_share = 100.0 if found["gradient_norm"] else None
    page.table(
        [
            ("\npoint", index),
            ("\nx", cells("x", summed=False)),
            ("\ny", cells("y", summed=False)),
            (f"asks for\n{f['candidate']}", cells("candidate", total=found["optimum"]["theta"], summed=False)),
            ("weight\nhᵢ, %", cells("leverage", 100, 100.0)),
            ("residual\nrᵢ", cells("residual", summed=False)),
            (f"vote cᵢ\n{f['contribution']}", cells("contribution", total=found["gradient"]["theta"])),
            ("share of\nall, %", cells("vote_share", 100, total_share)),
        ],
        totals=1 + bool(others),
    )
    if others:
        page.paragraph(f"The {len(shown)} largest votes of {count:,}; i counts from 0, in the order of x.")


def add_units(page: TextPage, found: dict[str, Any]) -> None:
    """Add nothing: these models have no units."""


def add_step(page: TextPage, found: dict[str, Any]) -> None:
    """Add the factor of the error, the limits of the step size, and the noise that remains."""
    f, now = _words(found), found["step"]
    rows: list[tuple[str, str]] = []
    if (rho := now["contraction_factor"]) is not None:
        updates = now["updates_to_one_percent"]
        rows += [
            ("θ − θ* is multiplied at each update by ρ", ""),
            (f"ρ = {f['factor']}", f"ρ = {number(rho)}"),
            ("updates until 1 % of θ₀ − θ* is left", "never" if updates is None else f"{updates:,}"),
        ]
    if SAME_WEIGHT not in f:
        rows.append((f["mean square"], number(sum(found["points"]["weight"]) / found["data"]["N"], 6)))
    if (limit := now["largest_stable_step"]) is not None:
        key = "limit with momentum" if now["momentum"] else "limit"
        rows.append((f"largest stable step  {f[key]}", f"η < {number(limit, 6)}"))
    batch = found["sampler"]["batch_size"]
    if SAME_WEIGHT not in f and (limit := now["largest_mean_square_step"]) is not None:
        rows.append((f"the same for SGD with B = {batch}, in mean square", f"η₂ = {number(limit, 6)}"))
    if (variance := now["stationary_variance"]) is not None:
        effective = "B" if found["sampler"]["name"] == "with_replacement" else "B (N − 1)/(N − B)"
        rows.append(("Var(θ) of SGD in the long run", number(variance)))
        rows.append((f"  = {f['variance']}", f"B′ = {effective}"))
        if SAME_WEIGHT not in f:
            rows.append(("  ε: the residuals at θ*", ""))
    page.heading("Step size")
    if rows:
        page.equations(rows)
    if sentence := _stability_sentence(found):
        page.paragraph(sentence)


def _same_vote_answer(found: dict[str, Any]) -> str:
    """Return the answer to whether all points get the same vote, with the largest and the smallest weight."""
    f, points, count, theta = _words(found), found["points"], found["data"]["N"], number(found["parameters"]["theta"])
    equal = percent(1 / count)
    effective = found["effective_votes"]
    if effective is None:
        now = f"At θ = {theta} no point contributes: every residual is 0."
    else:
        now = f"At θ = {theta} the contributions cᵢ amount to {vote_count(effective)} effective votes of {count:,}"
    if SAME_WEIGHT in f:
        reason = ": a point pulls in proportion to its residual, its distance from θ." if effective is not None else ""
        return f"Yes: {f[SAME_WEIGHT]} = {equal}. {now}{reason}"
    asks = f"point i asks for {f['candidate']} with weight {f['weight of a point']}"
    weights = points["leverage"]
    i = max(range(count), key=weights.__getitem__)
    j = min(range(count), key=weights.__getitem__)
    if math.isclose(weights[i], weights[j]):
        return f"Here yes: {asks}, and every {f['size of a point']} is the same. {now}."
    answer = (
        f"No: {asks}. The largest weight, at x = {number(points['x'][i])}, is "
        f"{percent(weights[i])} of the total, {number(weights[i] * count, 3)} times an equal share of {equal}; "
        f"the smallest, at x = {number(points['x'][j])}, is {percent(weights[j])}. "
    )
    asked = zip(points["weight"], points["candidate"], strict=True)
    if silent := sum(weight == 0 and candidate is None for weight, candidate in asked):
        subject = "The point" if silent == 1 else f"The {silent:,} points"
        verbs = ("asks", "has") if silent == 1 else ("ask", "have")
        answer += f"{subject} at {f['no weight']} {verbs[0]} for nothing and {verbs[1]} weight 0. "
    return answer + now + ("" if effective is None else ": weight times distance from the candidate.")


def _stability_sentence(found: dict[str, Any]) -> str:
    """Return a sentence about the step size and its limit; empty if no limit is known."""
    now = found["step"]
    eta, limit = f"η = {number(now['lr'], 6)}", now["largest_stable_step"]
    if limit is None:
        return ""
    end = number(limit, 6)
    if now["lr"] == limit:
        return f"{eta} is exactly the limit: the size of the error does not change."
    if not now["stable"]:
        return f"{eta} is beyond {end}: it diverges."
    sentence = f"{eta} is below the limit: it converges. Beyond {end} it diverges."
    rho = now["contraction_factor"]
    if rho is not None and rho < 0:
        sentence = f"{eta} is below the limit: it converges, on alternating sides of θ* as ρ < 0. "
        sentence += f"Beyond {end} it diverges."
    if rho == 0:
        sentence = f"{eta} reaches θ* in one update. Beyond {end} it diverges."
    if (mean_square := now["largest_mean_square_step"]) is not None:
        variance = now["stationary_variance"]
        if variance is None:
            sentence = (
                f"{eta} is below {end}, the limit of gradient descent, but beyond η₂ = {number(mean_square, 6)}: "
                "with minibatches E(θ − θ*)² grows."
            )
        else:
            spread = number(math.sqrt(variance))
            sentence += f" With minibatches θ finally fluctuates about θ* with standard deviation {spread}."
    elif found["sampler"]["name"] == "epoch":
        sentence += " Batches of a shuffled epoch depend on each other: no closed form is known here for how far"
        sentence += " θ fluctuates."
    return sentence


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value


def _words(found: dict[str, Any]) -> Mapping[str, str]:
    """Return the model's formulas by key."""
    return MODELS[found["model"]].words
