"""Pictures of a recorded run, the same that the run drew while training."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from reluviz.core.models import MODELS
from reluviz.errors import UserError
from reluviz.record import tags

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reluviz.analysis.run_arrays import RunArrays
    from reluviz.plots import FitPicture, VotesPicture

TRAIL_PICTURES = 10
"""A run draws this many pictures by default; a picture of theta shows the values of the earlier pictures too."""


def draw_picture(run: "RunArrays", index: int, kind: str, replica: int = 0) -> "FitPicture | VotesPicture":
    """Return the picture of the snapshot at `index`, drawn and ready to be saved.

    Raises:
        UserError: if there is no such kind or replica.
    """
    picture = _new_picture(run, kind, replica)
    if MODELS[run.model].feature is not None and kind == tags.FIT:
        # draw the earlier values of theta as well, from the beginning of the run
        for earlier in np.unique(np.linspace(0, index, TRAIL_PICTURES).round().astype(int)):
            png = _draw(picture, run, int(earlier), replica)
    else:
        png = _draw(picture, run, index, replica)
    # Jupyter displays a figure without this method only after pyplot was imported
    setattr(picture.canvas.figure, "_repr_png_", lambda: png)  # noqa: B010
    return picture


def draw_frames(run: "RunArrays", indices: Iterable[int], kind: str, replica: int = 0) -> Iterator[bytes]:
    """Yield the pictures of the snapshots at `indices` in turn, each as the bytes of a PNG file."""
    picture = _new_picture(run, kind, replica)
    for index in indices:
        yield _draw(picture, run, index, replica)


def figure(run: "RunArrays", index: int, kind: str, replica: int = 0) -> "Figure":
    """Return a picture as a matplotlib figure that draws all its artists."""
    found = draw_picture(run, index, kind, replica).canvas.figure
    # matplotlib leaves animated artists out when it draws a figure
    for artist in found.findobj(lambda one: one.get_animated()):
        artist.set_animated(False)
    return found


def _new_picture(run: "RunArrays", kind: str, replica: int) -> "FitPicture | VotesPicture":
    from reluviz.plots import FitPicture, VotesPicture

    if kind not in tags.PICTURE_KINDS:
        raise UserError(f"{kind}: must be one of {', '.join(tags.PICTURE_KINDS)}")
    if not 0 <= replica < len(run.seeds):
        raise UserError(f"replica {replica}: {run.folder} has {len(run.seeds)}, counted from 0")
    if kind == tags.FIT:
        return FitPicture(run.model, run.data, run.seeds[replica], run.precision)
    return VotesPicture(run.model, run.data, run.seeds[replica])


def _draw(picture: Any, run: "RunArrays", index: int, replica: int) -> bytes:
    """Draw one snapshot; return the bytes of a PNG file."""
    from reluviz.plots import FitPicture

    snapshot = run.snapshot(int(run.updates[index]))
    parameters = {name: value[replica] for name, value in snapshot.parameters.items()}
    png: bytes
    if isinstance(picture, FitPicture):
        losses = {tags.LOSS_TRAIN: float(snapshot.loss_train[replica])}
        if snapshot.loss_test is not None:
            losses[tags.LOSS_TEST] = float(snapshot.loss_test[replica])
        png = picture.png(parameters, snapshot.update, losses)
    else:
        votes = (snapshot.votes.share, snapshot.votes.norm, snapshot.residual)
        shares, norms, residuals = (value[replica] for value in votes)
        png = picture.png(parameters, snapshot.update, shares, norms, residuals, run.data.x[run.recorded])
    return png
