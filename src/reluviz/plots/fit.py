"""The picture `fit`: what the model has learned, on the data it learns from."""

from collections.abc import Mapping
from pathlib import Path

from reluviz.data.dataset import Dataset
from reluviz.plots import curves
from reluviz.plots.canvas import Canvas, new_figure
from reluviz.plots.frame import Frame
from reluviz.plots.parabola import ParabolaScene
from reluviz.plots.relu import ReLUScene
from reluviz.plots.style import Parameters, number, styled
from reluviz.plots.title import Title


class FitPicture:
    """Training points, true function and learned function, and what the model is made of.

    For a ReLU network every hidden unit, its elbow and its slope jump; for the constant and the linear model
    theta on the parabola of the loss. Limits are those of the data, the same in all pictures of a run.

    Args:
        model: constant, linear or relu.
        dataset: the data of the run.
        seed: the seed of the replica that is shown, for the title.

    Attributes:
        canvas: the figure and its artists.
        scene: the artists that follow the parameters.
    """

    def __init__(self, model: str, dataset: Dataset, seed: int) -> None:
        self.model = model
        with styled():
            self.canvas = Canvas(new_figure())
            frame = Frame(dataset)
            self.heading = Title(self.canvas, model, dataset.name, seed)
            self.scene: ReLUScene | ParabolaScene = (
                ReLUScene(self.canvas, frame, dataset)
                if model == "relu"
                else ParabolaScene(self.canvas, frame, dataset, model)
            )

    def restart(self, seed: int) -> None:
        """Begin with another run on the same data."""
        self.heading.seed = seed
        self.scene.restart()

    def png(self, parameters: Parameters, update: int, losses: Mapping[str, float]) -> bytes:
        """Return the picture of one snapshot as the bytes of a PNG file.

        Args:
            parameters: of one replica: theta (), or input_slope, bias, output_weight [W] and output_bias ().
            update: number of updates done.
            losses: name to value, written in the title in this order; a leading "loss/" is left out.
        """
        self._update(parameters, update, losses)
        return self.canvas.png()

    def save(self, path: str | Path) -> None:
        """Write the last snapshot's picture to a .png, .svg or .pdf file."""
        self.canvas.save(path)

    def _update(self, parameters: Parameters, update: int, losses: Mapping[str, float]) -> None:
        parts = [f"{name.removeprefix('loss/')} {number(value)}" for name, value in losses.items()]
        words = ["loss  " + "  ".join(parts)] if parts else []
        if isinstance(self.scene, ParabolaScene):
            words.insert(0, self.scene.words(parameters))
        self.heading.update(parameters, update, "     ".join(words))
        if not curves.finite(self.model, parameters):
            self.canvas.notice("the parameters are not finite")
        elif not self.scene.update(parameters):
            self.canvas.notice("the learned function is not finite")
        else:
            self.canvas.notice("")
