"""What the three models share: replicas, the optimiser, and a training step that makes one whole segment.

Legend of shapes: R replicas, K updates of a segment, N samples, G parameter groups of the optimiser.
"""

import copy
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reluviz.core.functions_torch import PARAMETERS, predict
from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Sampler
from reluviz.data.segments import Segment
from reluviz.engines.array_views import ArrayViews
from reluviz.engines.choose import choose
from reluviz.engines.engine import Engine, ModelState, Requirements
from reluviz.errors import UserError
from reluviz.models.optimizers import build_optimizer, build_scheduler


class RegressionModule(L.LightningModule):
    """A one-input regression model, trained for several replicas at once.

    Every parameter has a leading replica axis; replica r is a run of its own with seed `seeds[r]`. One
    Lightning batch is a segment of K updates, which an engine makes in place; `global_step` counts segments,
    `updates_done` updates.

    Args:
        seeds: one seed for each replica.
        optimizer: `_target_` (a class, such as "torch.optim.SGD") and its arguments.
        scheduler: the same for a learning-rate scheduler, stepped after every update; None for none.
        engine: what makes the updates; "auto" picks the fastest that supports the run.
    """

    model: ClassVar[str]
    updates_done: Tensor
    segments_done: Tensor
    batch_loss: Tensor

    def __init__(
        self,
        *,
        seeds: Sequence[int] = (0,),
        optimizer: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.seeds = [int(seed) for seed in seeds]
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise UserError(f"seeds={list(seeds)}: must be different whole numbers of at least 0")
        self.optimizer_settings = optimizer or {"_target_": "torch.optim.SGD", "lr": 0.02}
        self.scheduler_settings = scheduler
        self.engine_name = engine
        self.engine: Engine | None = None
        self.engine_seconds = 0.0
        self.report: Callable[[int], None] = lambda update: None
        self._views = ArrayViews()
        self._points: tuple[tuple[Dataset, torch.dtype, torch.device], tuple[Tensor, Tensor]] | None = None
        self.register_buffer("updates_done", torch.zeros((), dtype=torch.int64))
        self.register_buffer("segments_done", torch.zeros((), dtype=torch.int64))
        self.register_buffer("batch_loss", torch.full((len(self.seeds),), torch.nan))

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute."""
        if name == "_current_fx_name":
            # a word that Lightning sets thirty times a segment; torch would ask each time whether it is a parameter
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the parameters that are trained."""
        return tuple(name for name in PARAMETERS[self.model] if getattr(self, name).requires_grad)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters as arrays that share their memory, name -> [R] or [R, W]; they must be on the CPU."""
        return self._views.of(self._parameters, PARAMETERS[self.model])

    def values(self) -> dict[str, Tensor]:
        """Return a copy of the parameters, name -> [R] or [R, W], in float64 and off the graph."""
        return {name: torch.from_numpy(value) for name, value in self.copies().items()}

    def copies(self) -> dict[str, NDArray[np.float64]]:
        """Return what `values` returns, as arrays."""
        own = [self._parameters.get(name) for name in PARAMETERS[self.model]]
        if all(value is not None and _plain(value) for value in own):
            return {name: value.astype(np.float64) for name, value in self.arrays().items()}
        named = {name: getattr(self, name).detach() for name in PARAMETERS[self.model]}
        return {name: value.to("cpu", torch.float64, copy=True).numpy() for name, value in named.items()}

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x), [R, N]; x is [N] or [R, N]."""
        return predict(self.model, {name: getattr(self, name) for name in PARAMETERS[self.model]}, x)

    def points(self, dataset: Dataset) -> tuple[Tensor, Tensor]:
        """Return x and y [N] of a data set with the module's dtype, on its device."""
        like = getattr(self, PARAMETERS[self.model][0])
        known, kind, device = self._points[0] if self._points is not None else (None, None, None)
        if self._points is None or known is not dataset or kind is not like.dtype or device != like.device:
            x, y = (torch.from_numpy(values).to(like.device, like.dtype) for values in (dataset.x, dataset.y))
            self._points = (dataset, like.dtype, like.device), (x, y)
        return self._points[1]

    def state(self) -> ModelState:
        """Return what an engine is given of this module."""
        parameters = {name: getattr(self, name) for name in PARAMETERS[self.model]}
        ridge = getattr(self, "ridge", 0.0)
        return ModelState(self.model, parameters, self.__call__, len(self.seeds), ridge, self._views)

    def requirements(self, sampler: Sampler | None) -> Requirements:
        """Return what a run of this module on minibatches of this sampler needs of an engine."""
        names = PARAMETERS.get(getattr(self, "model", ""), ())
        known = bool(names) and type(self).forward is RegressionModule.forward
        like = getattr(self, names[0]) if names else next(self.parameters())
        trainer = self._trainer
        return Requirements(
            model=self.model if known else None,
            class_name=type(self).__name__,
            solved=getattr(self, "train_mode", None) == "ridge",
            parametrized=any(name not in self._parameters for name in names),
            # the trainer moves and casts the module after it has chosen the engine
            device=like.device if trainer is None else trainer.strategy.root_device,
            dtype=like.dtype,
            precision=None if trainer is None else trainer.precision,
            optimizer=self.optimizer_settings,
            sampler=sampler,
        )

    def setup(self, stage: str) -> None:
        """Choose the engine, and take the trainer's precision before a checkpoint is read into the parameters."""
        if self.trainer.precision == "64-true":
            self.double()
        if stage == "fit":
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            self.engine = choose(self.engine_name, self.requirements(data.sampler if data is not None else None))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the precision of the checkpoint before its numbers are read."""
        if checkpoint["state_dict"]["batch_loss"].dtype == torch.float64:
            self.double()

    def configure_optimizers(self) -> Any:
        """Return the optimiser over the trained parameters, and the scheduler where there is one.

        Weight decay is not applied to an output bias, as ridge regression does not penalise it.
        """
        named = {name: getattr(self, name) for name in self.trained}
        optimizer = build_optimizer(self.optimizer_settings, named, replicas=len(self.seeds))
        if self.scheduler_settings is None:
            return optimizer
        return [optimizer], [build_scheduler(self.scheduler_settings, optimizer)]

    def training_step(self, segment: Segment, batch_idx: int) -> None:
        """Make the segment's K updates, all or none of them.

        An interruption tears a segment: whatever happens, the state before it comes back, so that a
        checkpoint written while handling the exception is sound.
        """
        optimizer = self.optimizers()
        assert isinstance(optimizer, L.pytorch.core.optimizer.LightningOptimizer)
        before = self._state()
        try:
            # the engine makes every update in the closure and leaves no gradient, so that this one step of
            # Lightning's, which counts the segment, moves nothing
            optimizer.step(closure=lambda: self._run(segment))
            self.updates_done.add_(len(segment))
            self.segments_done.add_(1)
        except BaseException:
            self._put_back(before)
            raise
        if self.trainer.log_every_n_steps:  # type: ignore[attr-defined]
            # the x axis of whatever others log through Lightning; a call costs more than a snapshot's votes
            self.log("step", float(self.updates_done))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which model it is: the constant and the linear one have the same parameter."""
        checkpoint["model"] = self.model

    def on_train_epoch_end(self) -> None:
        """Stop when every segment has been made, also for a trainer that was given no number of steps."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is not None and not data.remaining(int(self.updates_done)):
            self.trainer.should_stop = True

    def _run(self, segment: Segment) -> Tensor:
        assert self.engine is not None
        optimizer = self._optimizer()
        rates = self._learning_rates(len(segment))
        after = [group["lr"] for group in optimizer.param_groups]
        x, y = self.points(segment.dataset)
        state = self.state()
        for piece in segment.pieces(self.engine.by_replica):
            part = rates[piece.start - segment.start : piece.stop - segment.start]
            started = time.perf_counter()
            self.batch_loss.copy_(self.engine.run(state, optimizer, piece, part, x, y))
            self.engine_seconds += time.perf_counter() - started
            self.report(piece.stop)
        for group, rate in zip(optimizer.param_groups, after, strict=True):
            group["lr"] = rate
        values = self.parameters() if self._modules else self._parameters.values()
        if any(value is not None and value.grad is not None for value in values):
            optimizer.zero_grad(set_to_none=True)
        # LBFGS insists on a number
        return self.batch_loss.sum()

    def _learning_rates(self, updates: int) -> NDArray[np.float64]:
        """Return the learning rate of each of the next K updates, [K, G], and step the scheduler past them."""
        groups = self._optimizer().param_groups
        scheduler = self.lr_schedulers()
        if scheduler is None:
            return np.broadcast_to(np.array([group["lr"] for group in groups], dtype=float), (updates, len(groups)))
        rates = np.empty((updates, len(groups)))
        for k in range(updates):
            rates[k] = [group["lr"] for group in groups]
            try:
                scheduler.step()  # type: ignore[union-attr]
            except ValueError as error:
                # OneCycleLR has an end
                raise UserError(f"scheduler: {' '.join(str(error).split())}; it must last for all updates") from error
        return rates

    def _optimizer(self) -> torch.optim.Optimizer:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        return optimizer

    def _state(self) -> tuple[Any, ...]:
        optimizer, scheduler = self._optimizer(), self.lr_schedulers()
        return (
            self._copies(),
            # not its state_dict: making and loading that takes as long as a few hundred updates
            {parameter: copy.deepcopy(state) for parameter, state in optimizer.state.items()},
            [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups],
            None if scheduler is None else copy.deepcopy(scheduler.state_dict()),  # type: ignore[union-attr]
        )

    def _copies(self) -> list[tuple[Tensor, Any]]:
        """Return all parameters and buffers, each with a copy, as a tensor or an array."""
        named = {name: value for name, value in (self._parameters | self._buffers).items() if value is not None}
        if self._modules or not all(_plain(value) for value in named.values()):
            return [(value, value.detach().clone()) for value in (*self.parameters(), *self.buffers())]
        return [(named[name], array.copy()) for name, array in self._views.of(named, tuple(named)).items()]

    def _put_back(self, before: tuple[Any, ...]) -> None:
        values, state, groups, schedule = before
        optimizer = self._optimizer()
        with torch.no_grad():
            for value, earlier in values:
                value.copy_(torch.as_tensor(earlier))
        optimizer.state.clear()
        optimizer.state.update(state)
        for group, earlier in zip(optimizer.param_groups, groups, strict=True):
            group.update(earlier)
        optimizer.zero_grad(set_to_none=True)
        if schedule is not None:
            self.lr_schedulers().load_state_dict(schedule)  # type: ignore[union-attr]


# Lightning asks at each segment which arguments the function takes, and would find out each time
setattr(RegressionModule.training_step, "__signature__", inspect.signature(RegressionModule.training_step))  # noqa: B010


def _plain(value: Tensor) -> bool:
    """Tell whether a tensor can be seen as an array."""
    return value.is_cpu and value.dtype in (torch.float32, torch.float64, torch.int64)


def replicated(values: Sequence[Tensor]) -> nn.Parameter:
    """Return one parameter with a leading replica axis from each replica's own value."""
    return nn.Parameter(torch.stack(list(values)))
