"""The base class of the models: replicas, the optimiser, and a training step that makes one whole segment.

Legend of shapes: R replicas, K updates of a segment, N samples, G parameter groups of the optimiser.
"""

import copy
import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reluviz.core.functions import parameter_names
from reluviz.core.models import MODELS
from reluviz.data.dataset import Dataset
from reluviz.data.ranges import different_seeds
from reluviz.data.samplers import Sampler
from reluviz.data.scaling import IDENTITY, Scaling
from reluviz.data.segments import Segment
from reluviz.data.trainer_limits import check_world
from reluviz.engines.choose import choose
from reluviz.engines.engine import Engine, ModelState
from reluviz.engines.predict import TensorParameters
from reluviz.engines.support import Requirements
from reluviz.errors import UserError
from reluviz.models.automatic_step import automatic_step
from reluviz.models.optimizers import build_optimizer, build_scheduler
from reluviz.models.torch_files import difference, load_torch_file, state_difference


class RegressionModule(L.LightningModule):
    """A one-input regression model, trained for several replicas at once.

    Every parameter has a leading replica axis. Replica r is an independent run with seed `seeds[r]`. One Lightning
    batch is a segment of K updates, which an engine makes in place. `global_step` counts segments, `updates_done`
    counts updates.

    Args:
        seeds: one seed for each replica.
        optimizer: `_target_` (a class, such as "torch.optim.SGD") and its arguments; by default SGD with lr 0.02 or,
            for a model f = theta phi(x) on users' data, with the step size of `automatic_step`.
        scheduler: the same for a learning-rate scheduler, stepped after every update; None for a constant rate.
        engine: name of the engine that makes the updates; "auto" is the fastest that supports the run.

    Raises:
        UserError: if the seeds are not different integers of at least 0.
    """

    model: str
    updates_done: Tensor
    segments_done: Tensor
    batch_loss: Tensor
    offsets_and_scales: Tensor

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
        try:
            self.seeds: list[int] = different_seeds()([int(seed) for seed in seeds])
        except ValueError:
            raise UserError(f"seeds={list(seeds)}: must be different whole numbers of at least 0") from None
        self._default_optimizer = optimizer is None
        self.optimizer_settings = optimizer or {"_target_": "torch.optim.SGD", "lr": 0.02}
        self.scheduler_settings = scheduler
        self.engine_name = engine
        self.engine: Engine | None = None
        self.engine_seconds = 0.0
        self.progress_callback: Callable[[int], None] = lambda update: None
        self._cached_points: tuple[tuple[Dataset, torch.dtype, torch.device], tuple[Tensor, Tensor]] | None = None
        self.register_buffer("updates_done", torch.zeros((), dtype=torch.int64))
        self.register_buffer("segments_done", torch.zeros((), dtype=torch.int64))
        self.register_buffer("batch_loss", torch.full((len(self.seeds),), torch.nan))
        self.register_buffer("offsets_and_scales", torch.tensor(IDENTITY.numbers(), dtype=torch.float64))

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute."""
        if name == "_current_fx_name":
            # Lightning sets this string thirty times a segment; torch would check each time whether it is a parameter
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @classmethod
    def model_of(cls, settings: Mapping[str, Any]) -> str | None:
        """Return the name of the model that the class builds from these settings; None for an abstract class."""
        return getattr(cls, "model", None)

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the parameters that are trained."""
        return tuple(name for name in parameter_names(self.model) if getattr(self, name).requires_grad)

    def parameter_views(self) -> dict[str, NDArray[Any]]:
        """Return zero-copy NumPy views of the parameters, name -> [R] or [R, W]; they must be on the CPU."""
        return {name: getattr(self, name).detach().numpy() for name in parameter_names(self.model)}

    def values(self) -> dict[str, Tensor]:
        """Return detached float64 copies of the parameters, name -> [R] or [R, W]."""
        return {name: torch.from_numpy(value) for name, value in self.parameter_copies().items()}

    def parameter_copies(self) -> dict[str, NDArray[np.float64]]:
        """Return float64 copies of the parameters as arrays, name -> [R] or [R, W]."""
        registered = [self._parameters.get(name) for name in parameter_names(self.model)]
        if all(value is not None and _can_be_viewed(value) for value in registered):
            return {name: value.astype(np.float64) for name, value in self.parameter_views().items()}
        named = {name: getattr(self, name).detach() for name in parameter_names(self.model)}
        return {name: value.to("cpu", torch.float64, copy=True).numpy() for name, value in named.items()}

    @property
    def scaling(self) -> Scaling:
        """The offsets and scales between the user's units and those of training, from the first data trained on."""
        return Scaling(*self.offsets_and_scales.tolist())

    @property
    def scalable(self) -> bool:
        """Whether the model can be trained in scaled units: a model that is not only reparametrised by them cannot."""
        return MODELS[self.model].in_user_units is not None

    def place_on(self, dataset: Dataset) -> None:
        """Prepare for training on a data set from the start: choose the units of training."""
        self._choose_scaling(dataset)

    def _choose_scaling(self, dataset: Dataset) -> None:
        """Choose the units of training before the first update, as the data set says, if the model can be scaled."""
        scaling = dataset.chosen_scaling() if self.scalable else IDENTITY
        self.offsets_and_scales.copy_(torch.tensor(scaling.numbers(), dtype=torch.float64))
        self._cached_points = None

    def _choose_step(self, dataset: Dataset, sampler: Sampler) -> None:
        """Choose the step size, if none was given and `data.scale=auto` chooses one for this model."""
        if self._default_optimizer:
            step = automatic_step(self.model, dataset, sampler, self.optimizer_settings)
            self.optimizer_settings = self.optimizer_settings | ({} if step is None else {"lr": step})

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move or cast the module; offsets and scales stay in float64 on the CPU, since they may need every digit."""
        kept = self._buffers.pop("offsets_and_scales")
        try:
            return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        finally:
            self._buffers["offsets_and_scales"] = kept

    @staticmethod
    def predict(p: TensorParameters, x: Tensor) -> Tensor:
        """Return f(x), [R, N], from the parameters; each model has its own, for autograd."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x), [R, N]; x is [N] or [R, N], in the user's units.

        Inputs of a run on scaled data need float64 if their offset is much larger than their range.
        """
        scaling = self.scaling
        if scaling.identity:
            return self._predict_trained(x)
        u = scaling.trained_x(x.double()).to(getattr(self, parameter_names(self.model)[0]).dtype)
        return scaling.user_y(self._predict_trained(u).double()).to(x.dtype)

    def _predict_trained(self, u: Tensor) -> Tensor:
        """Return f(u), [R, N], in the units of training."""
        return self.predict({name: getattr(self, name) for name in parameter_names(self.model)}, u)

    def _trained_function(self) -> Callable[[Tensor], Tensor]:
        """Return the function that an engine trains, in the units of training."""
        scaling = self.scaling
        if scaling.identity:
            return self.__call__
        if self._is_standard:
            return self._predict_trained
        # the forward of a subclass
        return lambda u: scaling.trained_y(self(scaling.user_x(u.double())).double()).to(u.dtype)

    @property
    def _is_standard(self) -> bool:
        """Whether this is a model of the registry with its own function."""
        return getattr(self, "model", "") in MODELS and type(self).forward is RegressionModule.forward

    def training_points(self, dataset: Dataset) -> tuple[Tensor, Tensor]:
        """Return the training inputs and outputs [N], in the units of training, as the module's type; cached."""
        like = getattr(self, parameter_names(self.model)[0])
        cached, dtype, device = self._cached_points[0] if self._cached_points is not None else (None, None, None)
        if self._cached_points is None or cached is not dataset or dtype is not like.dtype or device != like.device:
            points = replace(dataset, scaling=self.scaling).as_trained
            x, y = (torch.from_numpy(values).to(like.device, like.dtype) for values in (points.x, points.y))
            self._cached_points = (dataset, like.dtype, like.device), (x, y)
        return self._cached_points[1]

    def model_state(self) -> ModelState:
        """Return the model as an engine sees it."""
        parameters = {name: getattr(self, name) for name in parameter_names(self.model)}
        ridge = getattr(self, "ridge", 0.0)
        return ModelState(self.model, parameters, self._trained_function(), len(self.seeds), ridge)

    def requirements(self, sampler: Sampler | None) -> Requirements:
        """Return the features that an engine must support to train this module on minibatches of this sampler."""
        names = parameter_names(self.model) if hasattr(self, "model") else ()
        like = getattr(self, names[0]) if names else next(self.parameters())
        trainer = self._trainer
        # the trainer moves and casts the module only after the engine has been chosen
        device = like.device if trainer is None else trainer.strategy.root_device
        return Requirements(
            model=self.model if self._is_standard else None,
            class_name=type(self).__name__,
            solved=getattr(self, "train_mode", None) == "ridge",
            optimizer=self.optimizer_settings,
            sampler=sampler,
            parametrized=any(name not in self._parameters for name in names),
            device=str(device),
            dtype=str(like.dtype).removeprefix("torch."),
            precision=None if trainer is None else trainer.precision,
        )

    def setup(self, stage: str) -> None:
        """Choose the engine, and change to the trainer's precision before a checkpoint is loaded.

        Raises:
            UserError: if the checkpoint is damaged, the trainer has several devices, the engine does not support the
                run, or the module was compiled: torch's compiler would read what a segment does, and not only what a
                model computes.
        """
        if getattr(self, "_compiler_ctx", None) is not None:
            raise UserError("torch.compile(module): leave it out; the engine that makes the updates is compiled anyway")
        check_world(self.trainer)
        # Lightning reads this file next, and would restore a part of it before it met another one that is damaged
        path = self.trainer.ckpt_path
        if stage == "fit" and path is not None and os.path.isfile(path):
            try:
                load_torch_file(path)
            except ValueError as error:
                raise UserError(f"{path}: is not a checkpoint, or is damaged ({error})") from error
        if self.trainer.precision == "64-true":
            self.double()
        if stage == "fit":
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            if data is not None and not int(self.updates_done):
                self.place_on(data.dataset)
                self._choose_step(data.dataset, data.sampler)
            self.engine = choose(self.engine_name, self.requirements(data.sampler if data is not None else None))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Change to the checkpoint's precision before its parameters are loaded.

        Raises:
            UserError: if the checkpoint is not of such a model.
        """
        state = checkpoint.get("state_dict")
        if (wrong := difference(state, {"batch_loss": self.batch_loss.to(_dtype_in(state))}, "state_dict")) is not None:
            raise UserError(f"the checkpoint does not fit this model ({wrong})")
        # versions up to 0.2.0 trained in the user's units
        checkpoint["state_dict"].setdefault("offsets_and_scales", torch.tensor(IDENTITY.numbers(), dtype=torch.float64))
        if checkpoint["state_dict"]["batch_loss"].dtype == torch.float64:
            self.double()
        if type(self).state_dict is RegressionModule.state_dict and not self._modules:
            # a subclass may have further parts, and may load them in a way of its own
            wrong = state_difference(checkpoint["state_dict"], self)
        if wrong is not None:
            raise UserError(f"the checkpoint does not fit this model ({wrong})")

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Return a module from a checkpoint, as Lightning does; a file is checked first.

        Raises:
            UserError: if the file is damaged, or does not fit the model.
        """
        if not isinstance(checkpoint_path, str | os.PathLike) or not os.path.isfile(checkpoint_path):
            return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
        try:
            load_torch_file(checkpoint_path)
            return super().load_from_checkpoint(Path(checkpoint_path), *args, **kwargs)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise UserError(f"{checkpoint_path}: cannot be loaded ({' '.join(str(error).split())})") from error

    def configure_optimizers(self) -> Any:
        """Return the optimiser of the trained parameters, and the scheduler if there is one.

        Weight decay is not applied to the output bias, just as ridge regression does not penalise it.
        """
        named = {name: getattr(self, name) for name in self.trained}
        optimizer = build_optimizer(self.optimizer_settings, named, replicas=len(self.seeds))
        if self.scheduler_settings is None:
            return optimizer
        return [optimizer], [build_scheduler(self.scheduler_settings, optimizer)]

    def training_step(self, segment: Segment, batch_idx: int) -> None:
        """Make all K updates of the segment, or none.

        After any exception, the state before the segment is restored, so that a checkpoint written while handling
        the exception is consistent.
        """
        optimizer = self.optimizers()
        assert isinstance(optimizer, L.pytorch.core.optimizer.LightningOptimizer)
        before = self._save_state()
        try:
            # The engine makes every update in the closure and leaves no gradients. So this step changes no parameter,
            # but Lightning counts it, and `global_step` advances by one for each segment.
            optimizer.step(closure=lambda: self._run(segment))
            self.updates_done.add_(len(segment))
            self.segments_done.add_(1)
        except BaseException:
            self._restore_state(before)
            raise
        if self.trainer.log_every_n_steps:  # type: ignore[attr-defined]
            # the x axis of values that other callbacks log through Lightning; a call costs more than a snapshot's votes
            self.log("step", float(self.updates_done))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the model's name: the constant and the linear model have the same parameter."""
        checkpoint["model"] = self.model

    def on_train_epoch_end(self) -> None:
        """Stop after the last segment, even if the trainer has no limit on steps."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is not None and not data.remaining(int(self.updates_done)):
            self.trainer.should_stop = True

    def _run(self, segment: Segment) -> Tensor:
        """Make the updates of a segment and return the sum of the replicas' last batch losses."""
        assert self.engine is not None
        optimizer = self._optimizer()
        x, y = self.training_points(segment.dataset)
        state = self.model_state()
        for piece in segment.pieces(self.engine.by_replica):
            # of one piece, since a segment may be too long for a list of its rates
            rates = self._learning_rates(len(piece))
            rates_after = [group["lr"] for group in optimizer.param_groups]
            started = time.perf_counter()
            self.batch_loss.copy_(self.engine.run(state, optimizer, piece, rates, x, y))
            self.engine_seconds += time.perf_counter() - started
            for group, rate in zip(optimizer.param_groups, rates_after, strict=True):
                group["lr"] = rate
            self.progress_callback(piece.stop)
        values = self.parameters() if self._modules else self._parameters.values()
        if any(value is not None and value.grad is not None for value in values):
            optimizer.zero_grad(set_to_none=True)
        # LBFGS needs a number
        return self.batch_loss.sum()

    def _learning_rates(self, updates: int) -> NDArray[np.float64]:
        """Return the learning rate of each of the next K updates, [K, G], and advance the scheduler by K steps."""
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
                # OneCycleLR ends after total_steps
                raise UserError(f"scheduler: {' '.join(str(error).split())}; it must last for all updates") from error
        return rates

    def _optimizer(self) -> torch.optim.Optimizer:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        return optimizer

    def _save_state(self) -> tuple[Any, ...]:
        """Return copies of all tensors and of the states of the optimiser and the scheduler."""
        optimizer, scheduler = self._optimizer(), self.lr_schedulers()
        return (
            self._save_tensors(),
            # not state_dict(): it takes as long as a few hundred updates to make and load
            {parameter: copy.deepcopy(state) for parameter, state in optimizer.state.items()},
            [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups],
            None if scheduler is None else copy.deepcopy(scheduler.state_dict()),  # type: ignore[union-attr]
        )

    def _save_tensors(self) -> list[tuple[Tensor, Any]]:
        """Return all parameters and buffers, each with a copy (a tensor or an array)."""
        named = {name: value for name, value in (self._parameters | self._buffers).items() if value is not None}
        if self._modules or not all(_can_be_viewed(value) for value in named.values()):
            return [(value, value.detach().clone()) for value in (*self.parameters(), *self.buffers())]
        return [(value, value.detach().numpy().copy()) for value in named.values()]

    def _restore_state(self, saved: tuple[Any, ...]) -> None:
        """Restore the result of `_save_state`."""
        values, state, groups, scheduler_state = saved
        optimizer = self._optimizer()
        with torch.no_grad():
            for value, saved_value in values:
                value.copy_(torch.as_tensor(saved_value))
        optimizer.state.clear()
        optimizer.state.update(state)
        for group, saved_group in zip(optimizer.param_groups, groups, strict=True):
            group.update(saved_group)
        optimizer.zero_grad(set_to_none=True)
        if scheduler_state is not None:
            self.lr_schedulers().load_state_dict(scheduler_state)  # type: ignore[union-attr]


# Lightning asks for the signature at each segment; storing it here avoids computing it every time
setattr(RegressionModule.training_step, "__signature__", inspect.signature(RegressionModule.training_step))  # noqa: B010


def _dtype_in(state: Any) -> torch.dtype:
    """Return the type of the losses in a state_dict; float32 if it has none."""
    loss = state.get("batch_loss") if isinstance(state, dict) else None
    return torch.float64 if isinstance(loss, Tensor) and loss.dtype == torch.float64 else torch.float32


def _can_be_viewed(value: Tensor) -> bool:
    """Return whether NumPy can view the tensor without a copy."""
    return value.is_cpu and value.dtype in (torch.float32, torch.float64, torch.int64)


def stack_replicas(values: Sequence[Tensor]) -> nn.Parameter:
    """Return one parameter with a leading replica axis, stacked from the values of the replicas."""
    return nn.Parameter(torch.stack(list(values)))
