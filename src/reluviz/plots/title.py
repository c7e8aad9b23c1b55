"""The one line above a picture: which run, at which update, and how well."""

from reluviz.plots.canvas import Canvas
from reluviz.plots.style import INK, SOFT, Parameters, printable


class Title:
    """Writes the update on the left, what is said about it in the middle, and the run on the right."""

    def __init__(self, canvas: Canvas, model: str, name: str, seed: int) -> None:
        self.model, self.name, self.seed = model, printable(name), seed
        self.left = canvas.caption(canvas.text(0.012, 0.972, "", size=11.5, color=INK, va="center", weight="bold"))
        self.words = canvas.caption(canvas.text(0.2, 0.972, "", size=10, color=INK, va="center"))
        self.run = canvas.caption(canvas.text(0.985, 0.972, "", size=10, color=SOFT, va="center", ha="right"))

    def update(self, parameters: Parameters, update: int, words: str) -> None:
        """Write the heading of one snapshot."""
        kind = f"{parameters['bias'].size} ReLUs" if self.model == "relu" else f"{self.model} model"
        self.run.set_text(f"{kind}, {self.name}, seed {self.seed}")
        self.left.set_text(f"update {update:,}")
        self.words.set_text(words)
