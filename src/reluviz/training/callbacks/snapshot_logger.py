"""The callback that looks: at every snapshot it has votes, elbows and losses worked out and recorded."""

import time
from collections.abc import Mapping
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray

from reluviz.core.functions_torch import Parameters
from reluviz.core.snapshot import RawSnapshot
from reluviz.core.snapshot_torch import Snapshot, optimum
from reluviz.data.dataset import Dataset
from reluviz.errors import Diverged
from reluviz.models.module import RegressionModule
from reluviz.record import tags, text_summary
from reluviz.record.writer import RunWriter
from reluviz.training.divergence import advice
from reluviz.training.snapshot_queue import SnapshotQueue
from reluviz.training.snapshot_worker import SnapshotOptions
from reluviz.training.vote_history import VoteHistory


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
        sound: which replicas have not diverged by the last snapshot that has been worked out, [R].
        loss: the training loss at that snapshot, [R]; None before the first.
        shown: that snapshot; None before the first.
        picture_seconds: processor time spent on pictures.

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
        self.history = VoteHistory()
        self._initial_loss: torch.Tensor | None = None
        self._start: Parameters | None = None
        self._recorder: RunWriter | None = None
        self._developer: SnapshotQueue | None = None
        self._ended = False

    @property
    def latest(self) -> Snapshot | None:
        """The last snapshot taken, which is worked out now if it has not yet been; None before the first."""
        if self._developer is not None:
            self._developer.work_out()
        return self.shown

    @property
    def shown(self) -> Snapshot | None:  # noqa: D102
        return None if self._developer is None else self._developer.latest

    @property
    def loss(self) -> NDArray[np.float64] | None:  # noqa: D102
        return None if self._developer is None else self._developer.loss

    @property
    def sound(self) -> NDArray[np.bool_] | None:  # noqa: D102
        return None if self._developer is None else self._developer.sound

    @property
    def picture_seconds(self) -> float:  # noqa: D102
        return 0.0 if self._developer is None else self._developer.picture_seconds

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run cannot derive: the initial loss and the history of votes."""
        if self._developer is not None:
            self._developer.settle()
            self._initial_loss = self._developer.initial_loss
        return {"initial_loss": self._initial_loss, "history": self.history.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of an interrupted run."""
        self._initial_loss = state_dict["initial_loss"]
        self.history.load_state_dict(state_dict["history"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is written once, and the snapshot before the next update."""
        module, data = _parts(trainer, pl_module)
        schedule = data.schedule()
        pictured: set[int] = set()
        if self.pictures:
            places = np.linspace(0, len(schedule) - 1, min(self.pictures, len(schedule))).round().astype(int)
            pictured = {schedule[i] for i in places}
        logger = next((found for found in trainer.loggers if isinstance(found, TensorBoardLogger)), None)
        if logger is not None:
            self._recorder = RunWriter(logger.experiment, module.model)
        if self.settings is None:
            self.settings = text_summary.flat(dict(module.hparams))
        if self._recorder is not None and int(module.updates_done) == 0:
            test = data.dataset.x_test is not None
            self._recorder.data(data.dataset, module.trained, module.seeds, self.settings)
            self._recorder.layout(getattr(module, "width", 1), len(module.seeds), test)
            self._recorder.open_session(self.settings, [tags.LOSS_TRAIN, *([tags.LOSS_TEST] if test else [])])
            self._recorder.text(text_summary.markdown(self.settings, None), 0)
        best = optimum(module.model, data.dataset)
        order = SnapshotOptions(
            model=module.model,
            trained=module.trained,
            dataset=data.dataset,
            seed=module.seeds[0],
            dtype=str(next(module.parameters()).dtype).removeprefix("torch."),
            events=self._recorder is not None,
            histograms=self.histograms,
            most_units=self.most_units,
            pictured=frozenset(pictured if self._recorder is not None else ()),
            contributions=self.contributions,
            optimum=None if best is None else float(best),
        )
        self._ended = False
        self._developer = SnapshotQueue(order, self._recorder, self.history, self._initial_loss)
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
        self._close(trainer, pl_module)

    def _look(self, trainer: L.Trainer, module: RegressionModule) -> None:
        developer = self._developer
        assert developer is not None
        loss_batch = module.batch_loss.detach().to("cpu", torch.float64, copy=True)
        taken = RawSnapshot(int(module.updates_done), time.time(), module.copies(), loss_batch.numpy())
        if taken.update == 0:
            self._start = {name: torch.from_numpy(value) for name, value in taken.parameters.items()}
        if not developer.hand_over(taken):
            self._check(module, _parts(trainer, module)[1].dataset, developer)

    def _check(self, module: RegressionModule, dataset: Dataset, developer: SnapshotQueue) -> None:
        """Have the snapshot worked out at once, and stop where it shows that a replica has diverged."""
        developer.work_out()
        snapshot, initial_loss = developer.broken, developer.initial_loss
        assert initial_loss is not None
        if snapshot is not None and (broken := snapshot.divergence(initial_loss)) is not None:
            replica, parameter = broken
            where = f" (seed {module.seeds[replica]})" if len(module.seeds) > 1 else ""
            value = float(snapshot.loss_train[replica])
            raise Diverged(
                f"diverged{where}: after update {snapshot.update:,} {parameter} has left every bound"
                f" (loss/train {value:.3g}); {advice(module, dataset, self._start)}"
            )

    def _close(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        developer = self._developer
        if developer is None or self._ended:
            return
        try:
            if self.pictures:
                developer.draw_history()
            developer.settle()
            if self._recorder is None or developer.latest is None or self.settings is None:
                return
            self._recorder.text(text_summary.markdown(self.settings, developer.latest), developer.latest.update)
            self._recorder.close_session(self.settings)
            self._recorder.flush()
            self._ended = True
        finally:
            developer.close()


def _parts(trainer: L.Trainer, pl_module: L.LightningModule) -> tuple[RegressionModule, Any]:
    """Return module and data module, or say in one line what the callback works with."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(pl_module, RegressionModule) or data is None:
        raise TypeError("SnapshotLogger works with reluviz's modules and data modules: fit(ReLUModule(), SineData())")
    return pl_module, data
