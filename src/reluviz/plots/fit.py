"""The picture `fit`: the learned function with the training data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from reluviz.core.models import MODELS
from reluviz.data.dataset import Dataset
from reluviz.plots import curves
from reluviz.plots.canvas import Canvas, new_figure
from reluviz.plots.chain import ChainArtists
from reluviz.plots.data_background import DataBackground
from reluviz.plots.parabola import ParabolaArtists
from reluviz.plots.relu import ReLUArtists
from reluviz.plots.style import Parameters, format_number, plot_style
from reluviz.plots.title import Title


class FitPicture:
    """A picture of the training points, the true function, the learned function and the parameters.

    For a ReLU network it shows every hidden unit, its elbow and its slope jump; for a chain of several layers every
    kink of the function and the layer it comes from; for the constant and the linear model, theta on the parabola of
    the loss. The limits depend on the data only: they are the same in all pictures of a run.

    Args:
        model: the model's name.
        dataset: the data of the run.
        seed: the seed of the replica that is shown; it is written in the title.
        precision: the precision of the run, in which it decided which points a unit is active at.

    Attributes:
        canvas: the figure and its artists.
        artists: the artists that show the parameters.
    """

    def __init__(self, model: str, dataset: Dataset, seed: int, precision: str = "float64") -> None:
        self.model = model
        with plot_style():
            self.canvas = Canvas(new_figure())
            background = DataBackground(dataset)
            self.title = Title(self.canvas, model, dataset.name, seed)
            record = MODELS[model]
            self.artists: ReLUArtists | ChainArtists | ParabolaArtists
            if record.architecture is not None:
                self.artists = ChainArtists(self.canvas, background, dataset, record.architecture, precision)
            elif record.has_units:
                self.artists = ReLUArtists(self.canvas, background, dataset, model, precision)
            else:
                self.artists = ParabolaArtists(self.canvas, background, dataset, model)

    def reset(self, seed: int) -> None:
        """Start showing another run on the same data."""
        self.title.seed = seed
        self.artists.reset()

    def png(
        self, parameters: Parameters, update: int, losses: Mapping[str, float], earlier: Sequence[float] | None = None
    ) -> bytes:
        """Return the picture of one snapshot as the bytes of a PNG file.

        Args:
            parameters: of one replica as trained: theta (), or input_slope, bias, output_weight [W], output_bias ().
            update: number of updates done.
            losses: name to value, written in the title in this order, from its last slash on.
            earlier: values of theta in earlier pictures, which stay on the parabola; by default those of the pictures
                that this object has drawn. A network has none.
        """
        if earlier is not None and isinstance(self.artists, ParabolaArtists):
            self.artists.show_earlier(earlier)
        self._update(parameters, update, losses)
        return self.canvas.png()

    def save(self, path: str | Path) -> None:
        """Write the picture of the last snapshot to a .png, .svg or .pdf file."""
        self.canvas.save(path)

    def _update(self, parameters: Parameters, update: int, losses: Mapping[str, float]) -> None:
        parts = [f"{name.rpartition('/')[2]} {format_number(value)}" for name, value in losses.items()]
        texts = ["loss  " + "  ".join(parts)] if parts else []
        if isinstance(self.artists, ParabolaArtists):
            texts.insert(0, self.artists.theta_text(parameters))
        self.title.update(parameters, update, "     ".join(texts))
        if not curves.all_finite(self.model, parameters):
            self.canvas.show_notice("the parameters are not finite")
        elif not self.artists.update(parameters):
            self.canvas.show_notice("the learned function is not finite")
        else:
            self.canvas.show_notice("")
