"""The exact engine: full-batch gradient descent from prefix sums over the sorted data.

An update costs O(W log N) for the ReLU network (`reluviz.engines.full_batch_kernels` has the equations), and O(1) for
the constant and the linear model, whose loss is a parabola:

    L = (1/N) sum_i r_i^2 = L* + a (theta - theta*)^2        a = 1, or mean(x^2) for the linear model

All numbers are float64 within a piece. A module of another dtype gets them rounded at the end of each piece, so
that a resumed run continues from the same numbers as an uninterrupted one.

Legend of shapes: R replicas, N samples, W hidden units, K updates, G parameter groups, P parameters of a replica,
T trained parameter tensors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from reluviz.core.models import MODELS
from reluviz.data.segments import Piece
from reluviz.engines.engine import ModelState
from reluviz.engines.support import EXACT, UNSUPPORTED_OPTIONS
from reluviz.errors import UserError

OPTIMIZERS = tuple(getattr(torch.optim, name) for name in EXACT.optimizers)
Array = NDArray[np.float64]
MIN_LOSS_RATIO = 1e-5
"""If the loss is less than this fraction of the terms whose difference it is, it is summed sample by sample."""


class Exact:
    """Minimises L = (1/N) sum_i r_i^2 of each replica over all points."""

    name = "exact"
    by_replica = False

    def __init__(self) -> None:
        self.reason = ""
        self._prepared: tuple[Tensor, Tensor, str, SortedPoints | QuadraticLoss] | None = None

    def run(
        self,
        state: ModelState,
        optimizer: Optimizer,
        piece: Piece,
        rates: NDArray[np.float64],
        x: Tensor,
        y: Tensor,
    ) -> Tensor:
        """Make the K updates of a piece; see `Engine.run`.

        Raises:
            UserError: for minibatches, an optimiser or a device that is not supported; `engines.support` finds this
                before training.
        """
        problem = None if piece.batch is None else "a minibatch"
        if type(optimizer) not in OPTIMIZERS:
            problem = f"the optimizer {type(optimizer).__name__}"
        for group in optimizer.param_groups:
            options = (f"optimizer.{name}={group[name]}" for name in UNSUPPORTED_OPTIONS if group.get(name))
            problem = problem or next(options, None)
        if x.device.type != "cpu":
            problem = f"the device {x.device}"
        if problem is not None:
            raise UserError(f"engine=exact: {problem} is not supported; use engine=reference")
        data = self._prepare(state.model, x, y)
        arrays = OptimizerArrays(state, optimizer)
        moving = [value for name, value in state.parameters.items() if name in ("input_slope", "bias")]
        elbows_move = any(value.requires_grad for value in moving)
        losses = data.make_updates(arrays, np.array(rates, dtype=np.float64), elbows_move)
        arrays.write(len(piece))
        return torch.from_numpy(losses).to(y)

    def _prepare(self, model: str, x: Tensor, y: Tensor) -> "SortedPoints | QuadraticLoss":
        """Return the prepared data, cached until the tensors or the model change."""
        if (
            self._prepared is None
            or self._prepared[0] is not x
            or self._prepared[1] is not y
            or self._prepared[2] != model
        ):
            inputs, outputs = (values.numpy(force=True).astype(np.float64) for values in (x, y))
            prepared = (
                SortedPoints(inputs, outputs)
                if MODELS[model].has_units
                else QuadraticLoss.from_points(model, inputs, outputs)
            )
            self._prepared = x, y, model, prepared
        return self._prepared[3]


@dataclass
class QuadraticLoss:
    """L = floor + curvature (theta - optimum)^2, the loss of a model with one parameter."""

    curvature: float
    optimum: float
    floor: float

    @classmethod
    def from_points(cls, model: str, x: Array, y: Array) -> "QuadraticLoss":
        """Return the loss of the constant or the linear model."""
        phi = MODELS[model].feature
        assert phi is not None
        feature = phi(x)
        curvature = float(np.mean(feature * feature))
        optimum = 0.0
        if curvature > 0:
            # the second pass corrects the rounding error of the first one
            for _ in range(2):
                optimum += float(np.mean(feature * (y - optimum * feature))) / curvature
        return cls(curvature, optimum, float(np.mean(np.square(y - optimum * feature))))

    def make_updates(self, arrays: "OptimizerArrays", rates: Array, elbows_move: bool) -> Array:
        """Make K updates; return L before the last, [R]."""
        from reluviz.engines.full_batch_kernels import descend_parameter

        distance = np.empty(len(arrays.values))
        descend_parameter(*arrays.kernel_arguments(), rates, self.curvature, self.optimum, np.empty(1), distance)
        return self.floor + self.curvature * np.square(distance)


class SortedPoints:
    """The sorted data as the kernels use them: prefix sums of centred and scaled inputs and of centred outputs.

    Args:
        x: inputs [N]; they are sorted here if they are not sorted already.
        y: outputs [N].
    """

    def __init__(self, x: Array, y: Array) -> None:
        from reluviz.engines.full_batch_kernels import prefix_sums

        if np.any(x[1:] < x[:-1]):
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        half = float(x[-1] - x[0]) / 2
        self.middle = float(x[0]) + half
        # a power of two, so that scaling is exact
        self.scale = float(2.0 ** np.ceil(np.log2(half))) if half > 0 else 1.0
        self.level = float(np.mean(y))
        self.x, self.y = x, y - self.level
        self.square = float(np.sum(np.square(self.y)))
        self.sums = np.empty((len(x) + 1, 4))
        prefix_sums((x - self.middle) / self.scale, self.y, self.sums)
        self._keys: NDArray[np.int64] | None = None

    def make_updates(self, arrays: "OptimizerArrays", rates: Array, elbows_move: bool) -> Array:
        """Make K updates; return L before the last, [R]. `elbows_move`: whether w or b are trained."""
        from reluviz.engines.full_batch_kernels import descend_network

        replicas, parameters = arrays.values.shape
        width = (parameters - 1) // 3
        if self._keys is None or self._keys.shape != (replicas, width):
            # the search may start anywhere; later it starts where the elbows were last
            self._keys = np.tile(np.arange(width), (replicas, 1))
        frame = self.middle, self.scale, self.level
        work = np.empty((replicas, 8, width + 1))
        descend_network(
            *arrays.kernel_arguments(),
            rates,
            self._keys,
            elbows_move,
            self.x,
            self.sums,
            frame,
            np.empty(parameters),
            work,
        )
        return self._loss(self._keys, work)

    def _loss(self, keys: NDArray[np.int64], work: Array) -> Array:
        """Return L, [R], from the sums of each linear piece that the last gradient left in `work`.

        sum r^2 = sum r f - sum r y and sum r y = sum f y - sum y^2. If the fit is so good that these differences
        lose their digits, r^2 is summed sample by sample.
        """
        from reluviz.engines.full_batch_kernels import UNIT_BITS

        n = len(self.x)
        edges = np.zeros((len(keys), keys.shape[1] + 2), dtype=np.int64)
        edges[:, 1:-1], edges[:, -1] = keys >> UNIT_BITS, n
        sum_y, sum_uy = np.moveaxis(np.diff(self.sums[edges, 2:], axis=1), -1, 0)
        slope, height, sum_r, sum_ru = np.moveaxis(work[:, :4], 1, 0)
        # a diverged replica gives infinity or NaN, as in PyTorch
        with np.errstate(all="ignore"):
            fitted, observed = slope * sum_ru + height * sum_r, slope * sum_uy + height * sum_y
            total = self.square + np.sum(fitted - observed, axis=1)
            size = self.square + np.sum(np.abs(fitted) + np.abs(observed), axis=1)
            for r in np.flatnonzero(total < MIN_LOSS_RATIO * size):
                each_slope, each_height = np.repeat([slope[r], height[r]], np.diff(edges[r]), axis=1)
                residual = each_slope * ((self.x - self.middle) / self.scale) + each_height - self.y
                total[r] = np.sum(np.square(residual))
        return np.asarray(total / n)


class OptimizerArrays:
    """Parameters, optimiser state and hyper-parameters in the arrays that the kernels work on.

    Attributes:
        values: the parameters, [R, P].
        first: momentum buffers, or Adam's first moments, [R, P].
        second: Adam's second moments, [R, P].
        blocks: first column, one past the last, and parameter group of each trained tensor, [T, 3].
        hyper: hyper-parameters of each trained tensor, [T, 5]; see `full_batch_kernels.optimizer_step`.
        steps: Adam's number of updates of each trained tensor, [T].
    """

    def __init__(self, state: ModelState, optimizer: Optimizer) -> None:
        parameters = [state.parameters[name] for name in MODELS[state.model].parameters]
        flat = [_as_columns(parameter) for parameter in parameters]
        self.values = np.concatenate(flat, axis=1)
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)
        self.optimizer = optimizer
        groups = {parameter: g for g, group in enumerate(optimizer.param_groups) for parameter in group["params"]}
        stops = np.cumsum([part.shape[1] for part in flat])
        self.trained: list[tuple[Tensor, slice]] = []
        blocks, hyper, steps = [], [], []
        for parameter, part, stop in zip(parameters, flat, stops, strict=True):
            if not parameter.requires_grad or parameter not in groups:
                continue
            columns = slice(int(stop) - part.shape[1], int(stop))
            group = optimizer.param_groups[groups[parameter]]
            existing = optimizer.state.get(parameter, {})
            decay = float(group["weight_decay"])
            if isinstance(optimizer, Adam):
                decoupled = group.get("decoupled_weight_decay", isinstance(optimizer, AdamW))
                hyper.append([decay, *map(float, group["betas"]), float(group["eps"]), float(decoupled)])
                steps.append(float(existing.get("step", 0.0)))
                moments = existing.get("exp_avg"), existing.get("exp_avg_sq")
            else:
                moments = existing.get("momentum_buffer"), None
                has_buffer = float(moments[0] is not None)
                momentum, dampening = float(group["momentum"]), float(group["dampening"])
                hyper.append([decay, momentum, dampening, float(group["nesterov"]), has_buffer])
                steps.append(0.0)
            for array, moment in zip((self.first, self.second), moments, strict=True):
                if moment is not None:
                    array[:, columns] = _as_columns(moment)
            blocks.append([columns.start, columns.stop, groups[parameter]])
            self.trained.append((parameter, columns))
        self.blocks = np.array(blocks, dtype=np.int64).reshape(-1, 3)
        self.hyper = np.array(hyper, dtype=np.float64).reshape(-1, 5)
        self.steps = np.array(steps, dtype=np.float64)

    def kernel_arguments(self) -> tuple[Any, ...]:
        """Return the first arguments of every kernel: the arrays, and whether the optimiser is Adam or AdamW."""
        adam = isinstance(self.optimizer, Adam)
        return self.values, self.first, self.second, self.blocks, self.hyper, self.steps, adam

    def write(self, updates: int) -> None:
        """Copy the arrays back after K updates, creating the optimiser's state as torch would have done."""
        with torch.no_grad():
            for (parameter, columns), (_, _, g), count in zip(self.trained, self.blocks, self.steps, strict=True):
                parameter.copy_(_tensor_like(self.values[:, columns], parameter))
                group = self.optimizer.param_groups[g]
                if isinstance(self.optimizer, Adam):
                    state = self.optimizer.state[parameter]
                    if "step" not in state:
                        # as in torch.optim.adam: float32 unless float64 is the default
                        wide = torch.get_default_dtype() == torch.float64 and not group["fused"]
                        state["step"] = torch.tensor(0.0, dtype=torch.float64 if wide else torch.float32)
                    state["step"].fill_(count + updates)
                    _write_moment(state, "exp_avg", self.first[:, columns], parameter)
                    _write_moment(state, "exp_avg_sq", self.second[:, columns], parameter)
                elif group["momentum"] != 0:
                    _write_moment(self.optimizer.state[parameter], "momentum_buffer", self.first[:, columns], parameter)


def _as_columns(tensor: Tensor) -> Array:
    """Return a tensor [R] or [R, W] as an array [R, 1] or [R, W]."""
    array: Array = tensor.detach().to(torch.float64).numpy()
    return array.reshape(len(array), -1)


def _tensor_like(array: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(array).reshape(like.shape)


def _write_moment(state: dict[str, Any], key: str, array: Array, like: Tensor) -> None:
    """Write into the optimiser's tensor, creating it if needed."""
    if state.get(key) is None:
        state[key] = torch.empty_like(like, requires_grad=False)
    state[key].copy_(_tensor_like(array, like))
