"""The exact engine: full-batch gradient descent from prefix sums over the sorted data.

An update costs O(W log N) for the ReLU network (`reluviz.engines.full_batch_kernels` has the equations), and O(1) for
the constant and the linear model, whose loss is a parabola:

    L = (1/N) sum_i r_i^2 = L* + a (theta - theta*)^2        a = 1, or mean(x^2) for the linear model

All numbers are float64 within a piece; a module of another dtype gets them rounded at the end of each piece, so
that what goes on is what a checkpoint would hold.

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

from reluviz.core.functions_torch import PARAMETERS
from reluviz.data.samplers import Full
from reluviz.data.segments import Piece
from reluviz.engines import fused
from reluviz.engines.engine import ModelState, Requirements
from reluviz.engines.fused import OPTIMIZERS, REFUSED
from reluviz.errors import UserError

Array = NDArray[np.float64]
MOST_CANCELLATION = 1e-5
"""Where the loss is less than this part of the terms it is the difference of, it is summed sample by sample."""


class Exact:
    """Minimises L = (1/N) sum_i r_i^2 of each replica over all points."""

    name = "exact"
    by_replica = False

    def __init__(self) -> None:
        self.reason = ""
        self._prepared: tuple[Tensor, Tensor, str, Points | Parabola] | None = None

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
            UserError: for minibatches, an optimiser or a device that is not supported; `unsupported` says so before.
        """
        what = None if piece.batch is None else "a minibatch"
        if type(optimizer) not in OPTIMIZERS.values():
            what = f"the optimizer {type(optimizer).__name__}"
        for group in optimizer.param_groups:
            what = what or next((f"optimizer.{name}={group[name]}" for name in REFUSED if group.get(name)), None)
        if x.device.type != "cpu":
            what = f"the device {x.device}"
        if what is not None:
            raise UserError(f"engine=exact: {what} is not supported; use engine=reference")
        problem = self._problem(state.model, x, y)
        columns = Columns(state, optimizer)
        moving = any(state.parameters[name].requires_grad for name in PARAMETERS[state.model][:2])
        losses = problem.descend(columns, np.array(rates, dtype=np.float64), moving)
        columns.write(len(piece))
        return torch.from_numpy(losses).to(y)

    def _problem(self, model: str, x: Tensor, y: Tensor) -> "Points | Parabola":
        """Return what is known of the data, made once for as long as the tensors are the same."""
        if (
            self._prepared is None
            or self._prepared[0] is not x
            or self._prepared[1] is not y
            or self._prepared[2] != model
        ):
            inputs, outputs = (values.numpy(force=True).astype(np.float64) for values in (x, y))
            made = Points(inputs, outputs) if model == "relu" else Parabola.of(model, inputs, outputs)
            self._prepared = x, y, model, made
        return self._prepared[3]


def unsupported(needs: Requirements) -> str | None:
    """Return what of a run the engine does not support, in a phrase, or None; usable before training."""
    if needs.sampler is None:
        return "data without a sampler"
    if needs.sampler.name != Full.name:
        return f"sampler={needs.sampler.name}"
    # of modules, optimisers and devices the kernels of both engines know the same
    return fused.unsupported(needs)


@dataclass
class Parabola:
    """L = floor + curvature (theta - optimum)^2, all that the data say about a model with one parameter."""

    curvature: float
    optimum: float
    floor: float

    @classmethod
    def of(cls, model: str, x: Array, y: Array) -> "Parabola":
        """Return it for the constant or the linear model."""
        feature = x if model == "linear" else np.ones_like(x)
        curvature = float(np.mean(feature * feature))
        optimum = 0.0
        if curvature > 0:
            # the second time round corrects what rounding did the first time
            for _ in range(2):
                optimum += float(np.mean(feature * (y - optimum * feature))) / curvature
        return cls(curvature, optimum, float(np.mean(np.square(y - optimum * feature))))

    def descend(self, columns: "Columns", rates: Array, moving: bool) -> Array:
        """Make K updates; return L before the last, [R]."""
        from reluviz.engines.full_batch_kernels import descend_parameter

        away = np.empty(len(columns.values))
        descend_parameter(*columns.arrays(), rates, self.curvature, self.optimum, np.empty(1), away)
        return self.floor + self.curvature * np.square(away)


class Points:
    """The sorted data as the kernels want them: prefix sums of inputs centred and scaled and of outputs centred.

    Args:
        x: inputs [N]; a data set's are sorted, and any others will be.
        y: outputs [N].
    """

    def __init__(self, x: Array, y: Array) -> None:
        from reluviz.engines.full_batch_kernels import prefix_sums

        if np.any(x[1:] < x[:-1]):
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        half = float(x[-1] - x[0]) / 2
        self.middle = float(x[0]) + half
        # a power of two, so that scaling rounds nothing
        self.scale = float(2.0 ** np.ceil(np.log2(half))) if half > 0 else 1.0
        self.level = float(np.mean(y))
        self.x, self.y = x, y - self.level
        self.square = float(np.sum(np.square(self.y)))
        self.sums = np.empty((len(x) + 1, 4))
        prefix_sums((x - self.middle) / self.scale, self.y, self.sums)
        self._keys: NDArray[np.int64] | None = None

    def descend(self, columns: "Columns", rates: Array, moving: bool) -> Array:
        """Make K updates; return L before the last, [R]. `moving` says whether elbows can move."""
        from reluviz.engines.full_batch_kernels import descend_network

        replicas, parameters = columns.values.shape
        width = (parameters - 1) // 3
        if self._keys is None or self._keys.shape != (replicas, width):
            # anywhere will do to begin the search; later, where the elbows were last
            self._keys = np.tile(np.arange(width), (replicas, 1))
        frame = self.middle, self.scale, self.level
        work = np.empty((replicas, 8, width + 1))
        descend_network(
            *columns.arrays(), rates, self._keys, moving, self.x, self.sums, frame, np.empty(parameters), work
        )
        return self._loss(self._keys, work)

    def _loss(self, keys: NDArray[np.int64], work: Array) -> Array:
        """Return L from the pieces that the last gradient left behind, [R].

        sum r^2 = sum r f - sum r y and sum r y = sum f y - sum y^2. A fit so good that the differences have lost
        their digits is summed sample by sample.
        """
        from reluviz.engines.full_batch_kernels import UNIT_BITS

        n = len(self.x)
        edges = np.zeros((len(keys), keys.shape[1] + 2), dtype=np.int64)
        edges[:, 1:-1], edges[:, -1] = keys >> UNIT_BITS, n
        sum_y, sum_uy = np.moveaxis(np.diff(self.sums[edges, 2:], axis=1), -1, 0)
        slope, height, sum_r, sum_ru = np.moveaxis(work[:, :4], 1, 0)
        # what has diverged gives infinity or NaN, as in PyTorch
        with np.errstate(all="ignore"):
            fitted, observed = slope * sum_ru + height * sum_r, slope * sum_uy + height * sum_y
            total = self.square + np.sum(fitted - observed, axis=1)
            size = self.square + np.sum(np.abs(fitted) + np.abs(observed), axis=1)
            for r in np.flatnonzero(total < MOST_CANCELLATION * size):
                each_slope, each_height = np.repeat([slope[r], height[r]], np.diff(edges[r]), axis=1)
                residual = each_slope * ((self.x - self.middle) / self.scale) + each_height - self.y
                total[r] = np.sum(np.square(residual))
        return np.asarray(total / n)


class Columns:
    """Parameters, optimiser state and hyper-parameters as the arrays that the kernels work on.

    Attributes:
        values: the parameters, [R, P].
        first: momentum buffers, or Adam's first moments, [R, P].
        second: Adam's second moments, [R, P].
        blocks: first column, one past the last, and parameter group of each trained tensor, [T, 3].
        hyper: its hyper-parameters, [T, 5]; see `exact_kernels.step`.
        steps: its count of Adam's updates, [T].
    """

    def __init__(self, state: ModelState, optimizer: Optimizer) -> None:
        parameters = [state.parameters[name] for name in PARAMETERS[state.model]]
        flat = [_columns(parameter) for parameter in parameters]
        self.values = np.concatenate(flat, axis=1)
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)
        self.optimizer = optimizer
        groups = {parameter: g for g, group in enumerate(optimizer.param_groups) for parameter in group["params"]}
        stops = np.cumsum([columns.shape[1] for columns in flat])
        self.trained: list[tuple[Tensor, slice]] = []
        blocks, hyper, steps = [], [], []
        for parameter, part, stop in zip(parameters, flat, stops, strict=True):
            if not parameter.requires_grad or parameter not in groups:
                continue
            where = slice(int(stop) - part.shape[1], int(stop))
            group = optimizer.param_groups[groups[parameter]]
            kept = optimizer.state.get(parameter, {})
            decay = float(group["weight_decay"])
            if isinstance(optimizer, Adam):
                decoupled = group.get("decoupled_weight_decay", isinstance(optimizer, AdamW))
                hyper.append([decay, *map(float, group["betas"]), float(group["eps"]), float(decoupled)])
                steps.append(float(kept.get("step", 0.0)))
                moments = kept.get("exp_avg"), kept.get("exp_avg_sq")
            else:
                moments = kept.get("momentum_buffer"), None
                known = float(moments[0] is not None)
                momentum, dampening = float(group["momentum"]), float(group["dampening"])
                hyper.append([decay, momentum, dampening, float(group["nesterov"]), known])
                steps.append(0.0)
            for array, moment in zip((self.first, self.second), moments, strict=True):
                if moment is not None:
                    array[:, where] = _columns(moment)
            blocks.append([where.start, where.stop, groups[parameter]])
            self.trained.append((parameter, where))
        self.blocks = np.array(blocks, dtype=np.int64).reshape(-1, 3)
        self.hyper = np.array(hyper, dtype=np.float64).reshape(-1, 5)
        self.steps = np.array(steps, dtype=np.float64)

    def arrays(self) -> tuple[Any, ...]:
        """Return what every kernel begins with: the arrays, and whether the optimiser is Adam or AdamW."""
        adam = isinstance(self.optimizer, Adam)
        return self.values, self.first, self.second, self.blocks, self.hyper, self.steps, adam

    def write(self, updates: int) -> None:
        """Put the arrays back after K updates, and into the optimiser what torch would have put there."""
        with torch.no_grad():
            for (parameter, where), (_, _, g), count in zip(self.trained, self.blocks, self.steps, strict=True):
                parameter.copy_(_shaped(self.values[:, where], parameter))
                group = self.optimizer.param_groups[g]
                if isinstance(self.optimizer, Adam):
                    state = self.optimizer.state[parameter]
                    if "step" not in state:
                        # as in torch.optim.adam: float32 unless float64 is the default
                        wide = torch.get_default_dtype() == torch.float64 and not group["fused"]
                        state["step"] = torch.tensor(0.0, dtype=torch.float64 if wide else torch.float32)
                    state["step"].fill_(count + updates)
                    _put(state, "exp_avg", self.first[:, where], parameter)
                    _put(state, "exp_avg_sq", self.second[:, where], parameter)
                elif group["momentum"] != 0:
                    _put(self.optimizer.state[parameter], "momentum_buffer", self.first[:, where], parameter)


def _columns(tensor: Tensor) -> Array:
    """Return a tensor [R] or [R, W] as an array [R, 1] or [R, W]."""
    array: Array = tensor.detach().to(torch.float64).numpy()
    return array.reshape(len(array), -1)


def _shaped(array: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(array).reshape(like.shape)


def _put(state: dict[str, Any], key: str, array: Array, like: Tensor) -> None:
    """Write into the tensor that the optimiser already has, as torch does, or make it."""
    if state.get(key) is None:
        state[key] = torch.empty_like(like, requires_grad=False)
    state[key].copy_(_shaped(array, like))
