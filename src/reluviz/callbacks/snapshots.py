"""The callback that looks: at every snapshot it computes votes, elbows and losses, and records them."""

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray

from reluviz import describe, tags
from reluviz.callbacks.history import History
from reluviz.data.dataset import Dataset
from reluviz.divergence import advice
from reluviz.errors import Diverged
from reluviz.functions import Parameters
from reluviz.models.base import RegressionModule
from reluviz.record import Recorder
from reluviz.snapshot import Snapshot, optimum, recorded, take

if TYPE_CHECKING:
    from reluviz.pictures import FitPicture, VotesPicture


class SnapshotLogger(L.Callback):
    """Takes a snapshot before the first update and after every segment, and writes it to TensorBoard.

    Args:
        pictures: how many snapshots get the pictures fit and votes, spread evenly over the run, the first and
            the last among them; 0 for none. TensorBoard shows 10 of a tag unless told otherwise.
        histograms: whether to write histograms of elbows, slopes and votes.
        contributions: whether snapshots with a picture also get the matrix of all contributions.
        most_units: how many units get scalars of their own, at most.
        settings: shown in the HParams tab and the text summary; the module's hyper-parameters by default.

    Attributes:
        latest: the last snapshot taken.
        sound: which replicas have not diverged by then, [R].
        picture_seconds: time spent on pictures.

    Raises:
        Diverged: from within the fit, when a snapshot is not finite or beyond bounds; it is recorded first.
    """

    def __init__(
        self,
        pictures: int = 10,
        histograms: bool = True,
        contributions: bool = False,
        most_units: int = 100,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.pictures = pictures
        self.histograms = histograms
        self.contributions = contributions
        self.most_units = most_units
        self.settings = settings
        self.latest: Snapshot | None = None
        self.sound: NDArray[np.bool_] | None = None
        self.picture_seconds = 0.0
        self.history = History()
        self._initial_loss: torch.Tensor | None = None
        self._start: Parameters | None = None
        self._recorder: Recorder | None = None
        self._artists: tuple[FitPicture, VotesPicture] | None = None
        self._drawn: list[tuple[str, Future[bytes], int]] = []
        self._pictured: set[int] = set()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run cannot derive: the initial loss and the history of votes."""
        return {"initial_loss": self._initial_loss, "history": self.history.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of an interrupted run."""
        self._initial_loss = state_dict["initial_loss"]
        self.history.load_state_dict(state_dict["history"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is written once, and the snapshot before the next update."""
        module, data = _parts(trainer, pl_module)
        self._artists = None
        schedule = data.schedule()
        if self.pictures:
            places = np.linspace(0, len(schedule) - 1, min(self.pictures, len(schedule))).round().astype(int)
            self._pictured = {schedule[i] for i in places}
        logger = next((found for found in trainer.loggers if isinstance(found, TensorBoardLogger)), None)
        if logger is not None:
            dtype = str(next(module.parameters()).dtype).removeprefix("torch.")
            self._recorder = Recorder(logger.experiment, module.model, dtype, self.most_units)
        if self.settings is None:
            self.settings = describe.flat(dict(module.hparams))
        if self._recorder is not None and int(module.updates_done) == 0:
            test = data.dataset.x_test is not None
            self._recorder.data(data.dataset, module.trained, module.seeds, self.settings)
            self._recorder.layout(getattr(module, "width", 1), len(module.seeds), test)
            self._recorder.open_session(self.settings, [tags.LOSS_TRAIN, *([tags.LOSS_TEST] if test else [])])
            self._recorder.text(describe.markdown(self.settings, None), 0)
        self._look(trainer, module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the snapshot after a segment."""
        self._look(trainer, _parts(trainer, pl_module)[0])

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what closes a run."""
        self._close(trainer, pl_module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the run also when it was interrupted or has diverged: nothing that was seen is lost."""
        if self.latest is not None:
            self._close(trainer, pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write what a run that goes on from here will not draw again."""
        self._write_pictures()

    def _look(self, trainer: L.Trainer, module: RegressionModule) -> None:
        self._write_pictures(wait=False)
        data = _parts(trainer, module)[1]
        snapshot = take(
            module.model,
            module.values(),
            module.trained,
            data.dataset,
            int(module.updates_done),
            module.batch_loss,
            tags.MOST_SHOWN,
        )
        self.latest = snapshot
        if self._initial_loss is None:
            self._initial_loss = snapshot.loss_train.clone()
            self._start = snapshot.parameters
        self.history.add(snapshot.update, snapshot.votes.norm[0].numpy())
        self.sound = snapshot.sound(self._initial_loss)
        broken = None if self.sound.all() else snapshot.divergence(self._initial_loss)
        if self._recorder is not None:
            best = optimum(module.model, data.dataset)
            pictured = snapshot.update in self._pictured or (broken is not None and self.pictures > 0)
            self._recorder.snapshot(
                snapshot,
                self.histograms,
                self.contributions and pictured,
                None if best is None else float(best),
            )
            if pictured:
                self._draw(snapshot, data.dataset, module.seeds[0])
        if broken is not None:
            replica, parameter = broken
            where = f" (seed {module.seeds[replica]})" if len(module.seeds) > 1 else ""
            value = float(snapshot.loss_train[replica])
            raise Diverged(
                f"diverged{where}: after update {snapshot.update:,} {parameter} has left every bound"
                f" (loss/train {value:.3g}); {advice(module, data.dataset, self._start)}"
            )

    def _draw(self, snapshot: Snapshot, dataset: Dataset, seed: int) -> None:
        # the encoder reads from where the next pictures will be drawn
        self._write_pictures()
        started = time.perf_counter()
        if self._artists is None:
            from reluviz.pictures import for_run

            self._artists = for_run(snapshot.model, dataset, seed)
        fit, votes = self._artists
        first = {name: value[0].numpy() for name, value in snapshot.parameters.items()}
        losses = {tags.LOSS_TRAIN: float(snapshot.loss_train[0])}
        if snapshot.loss_test is not None:
            losses[tags.LOSS_TEST] = float(snapshot.loss_test[0])
        ballots = (snapshot.votes.share, snapshot.votes.norm, snapshot.votes.residual)
        shares, norms, residuals = (value[0].numpy() for value in ballots)
        kept = dataset.x[recorded(len(dataset.x)).numpy()]
        self._drawn = [
            (tags.FIT, fit.png_later(first, snapshot.update, losses), snapshot.update),
            (tags.VOTES, votes.png_later(first, snapshot.update, shares, norms, residuals, kept), snapshot.update),
        ]
        self.picture_seconds += time.perf_counter() - started

    def _write_pictures(self, wait: bool = True) -> None:
        """Write the pictures that were encoded meanwhile, and `wait` for those that were not."""
        started = time.perf_counter()
        while self._drawn and self._recorder is not None and (wait or self._drawn[0][1].done()):
            tag, png, update = self._drawn.pop(0)
            self._recorder.image(tag, png.result(), update)
        self.picture_seconds += time.perf_counter() - started

    def _close(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._recorder is None or self.latest is None or self.settings is None:
            return
        data = _parts(trainer, pl_module)[1]
        if self.pictures:
            from reluviz.pictures import history_png

            # while the last pictures are encoded
            started = time.perf_counter()
            kept = data.dataset.x[recorded(len(data.dataset.x)).numpy()]
            png = history_png(kept, *self.history.arrays())
            self.picture_seconds += time.perf_counter() - started
            self._write_pictures()
            self._recorder.image(tags.VOTES_HISTORY, png, self.latest.update)
        self._recorder.text(describe.markdown(self.settings, self.latest), self.latest.update)
        self._recorder.close_session(self.settings)
        self._recorder.flush()


def _parts(trainer: L.Trainer, pl_module: L.LightningModule) -> tuple[RegressionModule, Any]:
    """Return module and data module, or say in one line what the callback works with."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(pl_module, RegressionModule) or data is None:
        raise TypeError("SnapshotLogger works with reluviz's modules and data modules: fit(ReLUModule(), SineData())")
    return pl_module, data
