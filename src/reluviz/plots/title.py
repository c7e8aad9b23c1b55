"""The title line of a picture: the update, results and the run."""

from reluviz.core.models import MODELS
from reluviz.plots.canvas import Canvas
from reluviz.plots.style import BLACK, GREY, Parameters, printable_name


class Title:
    """The title: the update on the left, a text about it in the middle, and the run on the right."""

    def __init__(self, canvas: Canvas, model: str, name: str, seed: int) -> None:
        self.model, self.name, self.seed = model, printable_name(name), seed
        left = canvas.add_text(0.012, 0.972, "", size=11.5, color=BLACK, va="center", weight="bold")
        middle = canvas.add_text(0.2, 0.972, "", size=10, color=BLACK, va="center")
        right = canvas.add_text(0.985, 0.972, "", size=10, color=GREY, va="center", ha="right")
        self.left, self.middle, self.right = (canvas.animate(each, True) for each in (left, middle, right))

    def update(self, parameters: Parameters, update: int, text: str) -> None:
        """Write the title of one snapshot."""
        self.right.set_text(f"{MODELS[self.model].describe(parameters)}, {self.name}, seed {self.seed}")
        self.left.set_text(f"update {update:,}")
        self.middle.set_text(text)
