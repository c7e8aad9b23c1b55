"""Renders an explanation as text: the model, its votes, and the limits of the step size."""

from types import ModuleType
from typing import Any

from reluviz.cli.explain import chain, one_parameter, relu
from reluviz.cli.explain.text_page import WIDTH, TextPage, number
from reluviz.core.models import MODELS

SAMPLING = {
    "full": "all points",
    "with_replacement": "B = {}, drawn with replacement",
    "without_replacement": "B = {} different points",
    "epoch": "B = {} of a shuffled epoch",
}
"""Sampler -> the points of an update, in words. {} stands for the batch size."""


def as_text(found: dict[str, Any], colour: bool = False) -> str:
    """Return an explanation as text with lines of at most 79 characters.

    Args:
        found: returned by `explanation`.
        colour: whether headings are bold.
    """
    page = TextPage(colour)
    data, model = found["data"], _words(found["model"])
    page.console.print(f"{model.title(found)} on {_printable(data['name'])}", no_wrap=True, overflow="ignore")
    page.paragraph(f"N = {data['N']:,} points, mean y = {number(data['mean_y'])}, Var y = {number(data['var_y'])}")
    model.add_model(page, found, _update_equations(found))
    model.add_votes(page, found)
    model.add_units(page, found)
    model.add_step(page, found)
    if found["notes"]:
        page.heading("Notes")
        for note in found["notes"]:
            page.paragraph(note)
    return page.finish()


def _words(model: str) -> ModuleType:
    """Return the module that explains a model."""
    record = MODELS[model]
    if record.architecture is not None:
        return chain
    return relu if record.has_units else one_parameter


def _update_equations(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the update of a parameter as equations with values."""
    settings, step = found["optimizer"], found["step"]
    name = settings["_target_"].rpartition(".")[2]
    points = SAMPLING.get(found["sampler"]["name"], "a batch").format(found["sampler"]["batch_size"])
    p, gradient = ("θ", "dL/dθ") if _words(found["model"]) is one_parameter else ("p", "∂L/∂p")
    eta = f"η = {number(step['lr'], 6)}"
    if found.get("train") == "ridge":
        return []
    if name != "SGD":
        rows = [(f"{p} ← {p} − η · {name}({gradient})", eta)]
    elif not settings.get("momentum"):
        rows = [(f"{p} ← {p} − η {gradient}", eta)]
    else:
        step_of = f"({gradient} + μ m)" if settings.get("nesterov") else "m"
        rows = [(f"m ← μ m + {gradient}", f"μ = {number(step['momentum'])}"), (f"{p} ← {p} − η {step_of}", eta)]
    return [*rows, (f"  with {gradient} over {points}", "")]


def _printable(name: str) -> str:
    """Return a name without control characters, shortened to half a line."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    longest = WIDTH // 2
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
