"""An explanation as a text: the model, who votes for what, and how large a step may be."""

from typing import Any

from reluviz.cli.explain import one_parameter, relu
from reluviz.cli.explain.text_page import WIDTH, TextPage, number

SAMPLING = {
    "full": "all points",
    "with_replacement": "B = {}, drawn with replacement",
    "without_replacement": "B = {} different points",
    "epoch": "B = {} of a shuffled epoch",
}
"""What an update looks at, in the words of each sampler."""


def text(found: dict[str, Any], colour: bool = False) -> str:
    """Return an explanation as it is printed, in lines of at most 79 characters."""
    page = TextPage(colour)
    data, part = found["data"], relu if found["model"] == "relu" else one_parameter
    page.console.print(f"{part.title(found)} on {_printable(data['name'])}", no_wrap=True, overflow="ignore")
    page.paragraph(f"N = {data['N']:,} points, mean y = {number(data['mean_y'])}, Var y = {number(data['var_y'])}")
    part.model(page, found, _updates(found))
    part.votes(page, found)
    part.more(page, found)
    part.step(page, found)
    if found["notes"]:
        page.heading("Notes")
        for note in found["notes"]:
            page.paragraph(note)
    return page.finish()


def _updates(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the update of a parameter p as equations."""
    settings, step = found["optimizer"], found["step"]
    name = settings["_target_"].rpartition(".")[2]
    points = SAMPLING.get(found["sampler"]["name"], "a batch").format(found["sampler"]["batch_size"])
    p, gradient = ("p", "∂L/∂p") if found["model"] == "relu" else ("θ", "dL/dθ")
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
    shown = "".join(c if c.isprintable() else "?" for c in name)
    longest = WIDTH // 2
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
