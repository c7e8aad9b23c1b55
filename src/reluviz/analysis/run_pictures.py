"""The pictures of a recorded run, as the run drew them itself, and as an animation."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from reluviz.errors import UserError
from reluviz.record import tags

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reluviz.analysis.run_arrays import RunArrays
    from reluviz.plots import FitPicture, VotesPicture

KINDS = (tags.FIT, tags.VOTES)
TRAIL = 10
"""A run shows this many pictures unless told otherwise."""


def picture(run: "RunArrays", index: int, kind: str, replica: int = 0) -> "FitPicture | VotesPicture":
    """Return the picture of the snapshot at `index`, drawn and ready to be saved.

    Raises:
        UserError: if there is no such kind or replica.
    """
    artist = _artist(run, kind, replica)
    if run.model != "relu" and kind == tags.FIT:
        # theta leaves a trail, which begins where the run did
        for earlier in np.unique(np.linspace(0, index, TRAIL).round().astype(int)):
            png = _draw(artist, run, int(earlier), replica)
    else:
        png = _draw(artist, run, index, replica)
    # Jupyter shows figures by itself only after pyplot was imported
    setattr(artist.canvas.figure, "_repr_png_", lambda: png)  # noqa: B010
    return artist


def frames(run: "RunArrays", indices: Iterable[int], kind: str, replica: int = 0) -> Iterator[bytes]:
    """Yield the pictures of the snapshots at `indices`, one after another, as the bytes of PNG files."""
    artist = _artist(run, kind, replica)
    for index in indices:
        yield _draw(artist, run, index, replica)


def figure(run: "RunArrays", index: int, kind: str, replica: int = 0) -> "Figure":
    """Return the figure of a picture, with nothing left for somebody else to draw."""
    found = picture(run, index, kind, replica).canvas.figure
    for artist in found.findobj(lambda one: one.get_animated()):
        artist.set_animated(False)
    return found


def _artist(run: "RunArrays", kind: str, replica: int) -> "FitPicture | VotesPicture":
    from reluviz.plots import FitPicture, VotesPicture

    if kind not in KINDS:
        raise UserError(f"{kind}: must be one of {', '.join(KINDS)}")
    if not 0 <= replica < len(run.seeds):
        raise UserError(f"replica {replica}: {run.folder} has {len(run.seeds)}, counted from 0")
    return (FitPicture if kind == tags.FIT else VotesPicture)(run.model, run.data, run.seeds[replica])


def _draw(artist: Any, run: "RunArrays", index: int, replica: int) -> bytes:
    from reluviz.plots import FitPicture

    s = run.snapshot(int(run.updates[index]))
    parameters = {name: value[replica].numpy() for name, value in s.parameters.items()}
    png: bytes
    if isinstance(artist, FitPicture):
        losses = {tags.LOSS_TRAIN: float(s.loss_train[replica])}
        if s.loss_test is not None:
            losses[tags.LOSS_TEST] = float(s.loss_test[replica])
        png = artist.png(parameters, s.update, losses)
    else:
        ballots = (s.votes.share, s.votes.norm, s.votes.residual)
        shares, norms, residuals = (value[replica].numpy() for value in ballots)
        png = artist.png(parameters, s.update, shares, norms, residuals, run.data.x[run.recorded])
    return png
