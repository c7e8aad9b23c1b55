"""The fused engine: compiled kernels that make a whole piece of minibatch updates in place.

Legend of shapes: R replicas, K updates, B batch, N samples, W hidden units, P parameters, G parameter groups.
"""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from reluviz.core.functions_torch import PARAMETERS
from reluviz.data import samplers
from reluviz.data.segments import Piece
from reluviz.engines.engine import ModelState, Requirements
from reluviz.engines.parallel import run_in_threads
from reluviz.errors import UserError

OPTIMIZERS: dict[str, type[Optimizer]] = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW}
REFUSED = ("amsgrad", "maximize", "capturable", "differentiable")
"""Arguments of these optimisers that must be false; `foreach` and `fused` change how torch computes, not what."""
MOMENTS = {SGD: ("momentum_buffer",), Adam: ("exp_avg", "exp_avg_sq"), AdamW: ("exp_avg", "exp_avg_sq")}
"""Names of an optimiser's moments in its state."""
MOST_DRAWN = 2**16
"""Indices drawn at a time: 512 kB, which stay in a core's own memory until its kernel has used them."""
FEW = 2**23
"""Numbers, of all minibatches in a process, up to which NumPy draws them: loading the compiled generator, for which a
first run even has to wait, takes as long as it saves on so many."""


def unsupported(needs: Requirements) -> str | None:
    """Return what of a run the engine does not support, in a phrase, or None; usable before training."""
    if importlib.util.find_spec("numba") is None:
        return "a Python without the package numba"
    if needs.model not in PARAMETERS:
        return f"the model {needs.class_name}"
    if needs.solved:
        return "model.train=ridge"
    if needs.parametrized:
        return "a parametrized weight"
    if needs.precision not in (None, "32-true", "64-true"):
        return f"trainer.precision={needs.precision}"
    if needs.device.type != "cpu":
        return f"the device {needs.device}"
    if needs.dtype not in (torch.float32, torch.float64):
        return f"the precision {needs.dtype}"
    target = needs.optimizer.get("_target_")
    package, _, name = str(target).rpartition(".")
    if name not in OPTIMIZERS or package.split(".")[:2] != ["torch", "optim"]:
        return f"optimizer._target_={target}"
    return _refused(needs.optimizer)


def _refused(arguments: Mapping[str, Any]) -> str | None:
    if isinstance(eps := arguments.get("eps"), float | int) and np.float32(eps) == 0:
        # 0 / 0 for a parameter that has not moved, and the units that fill up a vector never do
        return f"optimizer.eps={eps}"
    return next((f"optimizer.{name}={arguments[name]}" for name in REFUSED if arguments.get(name)), None)


def cost(width: int, batch: int, samples: int, precise: bool) -> tuple[float, float]:
    """Return about how many nanoseconds an update takes with the dense and with the sorted kernel.

    The dense kernel is O(B W), eight samples at a time, and twice as fast in float32; the sorted one is O(B + W), and
    slower where the data are many more than fit its grid, since units within a cell are then told apart one by one.
    Between what two processors with AVX-512 need, of which one makes twice as many operations a second. At B = 40,
    N = 200 the kernels are equal near W = 130 in float64 and 250 in float32; at B = 400 near W = 30 and 50.
    """
    dense = 150 + 2.5 * batch + (0.2 if precise else 0.1) * -(-batch // 8) * 8 * width
    ordered = 850 + 6 * batch + (1.6 if precise else 0.7) * width
    return dense, ordered if samples <= _cells(batch) else ordered + 200 + 6 * batch + width


def _cells(batch: int) -> int:
    """Return how fine a grid may be: about four times as fine as the batch, so that few elbows share a cell with it."""
    return 4 * batch + 256


class Fused:
    """Minimises L = (1/B) sum_i r_i^2 of each replica as `Reference` does, to rounding, without autograd.

    Supports the three models, torch's SGD, Adam and AdamW, float32 and float64 on the CPU. Results depend neither on
    where pieces begin and end nor on the other replicas, bit for bit.
    """

    name = "fused"
    by_replica = True
    drawn = 0
    """Numbers drawn in this process."""

    def __init__(self) -> None:
        self.reason = ""
        self._x: Tensor | None = None
        self._y: Tensor | None = None
        self._points: tuple[NDArray[Any], NDArray[Any]]
        self._ordered = False
        self._laid: _Rows | None = None

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
            UserError: if the optimiser or the device is not supported; `unsupported` says so before.
        """
        kind = type(optimizer)
        what = None if kind in MOMENTS else f"the optimizer {kind.__name__}"
        for group in optimizer.param_groups:
            what = what or _refused(group)
        if x.device.type != "cpu":
            what = f"the device {x.device}"
        if what is not None:
            raise UserError(f"engine=fused: {what} is not supported; use engine=reference")

        self._look_at(state.model, x, y)
        arrays = state.arrays()
        kernel, more, filled, nanoseconds = self._kernel(state.model, kind is SGD, arrays, piece.batch or len(x))
        laid = self._laid = _Rows.of(self._laid, state, optimizer, arrays, filled)
        laid.read()
        loss = np.empty(state.replicas, laid.rows.dtype)
        # a copy: one update's rates may be read-only, which to numba is another type, to be compiled for anew
        rates = np.array(rates)
        # numba takes half a second to import
        from reluviz.engines.minibatch_kernels import padded_copy

        Fused.drawn += len(loss) * len(piece) * (piece.batch or 0)
        fill = _fill(Fused.drawn)
        # a minibatch of all points, for all replicas and updates
        every = np.arange(len(x))[None, None]

        def some(first: int, last: int) -> None:
            drawn = piece.of(first, last, fill)
            indices = every if drawn is None else drawn
            if more:
                # halves are put in order in half the time
                indices = np.sort(indices.astype(np.int32), axis=-1)
            own = slice(first, last)
            rows, own_loss, work = padded_copy(laid.rows[own], loss[own])
            args = (rows, *self._points, indices, rates, laid.spans, laid.settings)
            kernel(0, last - first, *args, own_loss, work, *more)
            laid.rows[own], loss[own] = rows, own_loss

        most = None if piece.batch is None else max(1, MOST_DRAWN // (len(piece) * piece.batch))
        run_in_threads(some, len(loss), nanoseconds * len(piece), most)

        laid.write(len(piece))
        return torch.from_numpy(loss)

    def _look_at(self, model: str, x: Tensor, y: Tensor) -> None:
        """Keep the points as arrays; for the constant model f = theta 1, so that its x is 1."""
        if self._x is not x or self._y is not y:
            self._x, self._y = x, y
            inputs = np.ones_like(x.numpy()) if model == "constant" else np.ascontiguousarray(x.numpy())
            self._points = inputs, np.ascontiguousarray(y.numpy())
            self._ordered = bool((inputs[1:] >= inputs[:-1]).all())

    def _kernel(
        self, model: str, sgd: bool, arrays: Mapping[str, NDArray[Any]], batch: int
    ) -> tuple[Callable[..., None], tuple[Any, ...], int, float]:
        """Return the kernel to run, its further arguments, the units it wants, and its nanoseconds an update."""
        # numba takes half a second to import
        from reluviz.engines import minibatch_kernels

        if model != "relu":
            return (minibatch_kernels.line_sgd if sgd else minibatch_kernels.line_adam), (), 1, 50.0 + 2 * batch
        slope = arrays["input_slope"]
        width = slope.shape[1]
        dense, ordered = cost(width, batch, len(self._points[0]), slope.dtype == np.float64)
        # whole vectors of 64 bytes: what is left over of a loop costs as much as several of them
        lanes = 64 // slope.itemsize
        filled = -(-width // lanes) * lanes
        if dense <= ordered or not self._ordered:
            return (minibatch_kernels.dense_sgd if sgd else minibatch_kernels.dense_adam), (), filled, dense
        shift = 0
        while len(self._points[0]) >> shift > _cells(batch):
            shift += 1
        grid = np.ascontiguousarray(self._points[0][:: 1 << shift])
        # and one more: vectors may begin at any unit
        return (
            (minibatch_kernels.sorted_sgd if sgd else minibatch_kernels.sorted_adam),
            (grid, shift, width),
            filled + lanes,
            ordered,
        )


def _layout(arrays: Mapping[str, NDArray[Any]], filled: int) -> tuple[dict[str, slice], int]:
    """Return where each parameter stands in a replica's vector, its units filled up, and how long that is."""
    layout, start = {}, 0
    for name, value in arrays.items():
        layout[name] = slice(start, start + value[0].size)
        start += filled if value.ndim > 1 else 1
    return layout, start


class _Rows:
    """Parameters, and an optimiser's hyper-parameters and state, as the kernels take them.

    Args:
        state: the model.
        optimizer: of its parameters.
        arrays: the parameters.
        filled: numbers that a parameter of the hidden units takes up.

    Attributes:
        spans: start, stop, group and updates done of neighbouring parameters in one group, [S, 4].
        settings: hyper-parameters of each group, [G, ...].
        rows: the parameters and their moments, [R, 1 + number of moments, P]; zero where there are none yet.
    """

    spans: NDArray[np.uint64]
    settings: NDArray[np.float64]
    rows: NDArray[Any]

    def __init__(
        self, state: ModelState, optimizer: Optimizer, arrays: Mapping[str, NDArray[Any]], filled: int
    ) -> None:
        self.optimizer, self.arrays, self.filled = optimizer, arrays, filled
        self.adam = type(optimizer) is not SGD
        self.layout, size = _layout(arrays, filled)
        self.groups = [list(group["params"]) for group in optimizer.param_groups]
        group_of = {id(p): g for g, params in enumerate(self.groups) for p in params}
        parameters = state.parameters
        self.parts = [
            (parameters[name], part, group_of.get(id(parameters[name]))) for name, part in self.layout.items()
        ]
        first = next(iter(arrays.values()))
        self.shape, self.dtype = (len(first), size), first.dtype

    @classmethod
    def of(
        cls,
        known: "_Rows | None",
        state: ModelState,
        optimizer: Optimizer,
        arrays: Mapping[str, NDArray[Any]],
        filled: int,
    ) -> "_Rows":
        """Return one for a module and its optimiser: the one that is known, where it is of these."""
        if known is None or known.optimizer is not optimizer or known.filled != filled:
            return cls(state, optimizer, arrays, filled)
        # the module may have got other parameters, or parameters elsewhere, and the optimiser other groups
        same = all(known.arrays[name] is value for name, value in arrays.items())
        same = same and all(state.parameters[name] is part[0] for name, part in zip(arrays, known.parts, strict=True))
        now = [group["params"] for group in optimizer.param_groups]
        same = same and [list(map(id, one)) for one in known.groups] == [list(map(id, one)) for one in now]
        return known if same else cls(state, optimizer, arrays, filled)

    def read(self) -> None:
        """Take in parameters, moments and hyper-parameters as they are now."""
        groups = self.optimizer.param_groups
        self.settings = np.array([self._of_group(group) for group in groups], dtype=float)
        self.names = MOMENTS[type(self.optimizer)]
        if not self.adam and not self.settings[:, 0].any():
            self.names = ()
        self.rows = np.zeros((self.shape[0], 1 + len(self.names), self.shape[1]), self.dtype)
        for name, value in self.arrays.items():
            self.rows[:, 0, self.layout[name]] = value.reshape(len(value), -1)
        spans: list[list[int]] = []
        before = None
        for parameter, part, g in self.parts:
            if g is not None:
                done = self._read(parameter, part)
                if before is not None and spans[-1][2:] == [g, done]:
                    # what fills up the units between them stays 0
                    spans[-1][1] = part.stop
                else:
                    spans.append([part.start, part.stop, g, done])
            before = g
        self.spans = np.array(spans, dtype=np.uint64).reshape(-1, 4)

    def _of_group(self, group: dict[str, Any]) -> list[float]:
        if not self.adam:
            return [group["momentum"], group["dampening"], group["nesterov"], group["weight_decay"]]
        decoupled = isinstance(self.optimizer, AdamW) or group.get("decoupled_weight_decay", False)
        return [*group["betas"], group["eps"], group["weight_decay"], decoupled]

    def _read(self, parameter: Tensor, part: slice) -> int:
        """Copy a parameter's moments and return how many updates they have seen (SGD: 0 or 1)."""
        state = self.optimizer.state.get(parameter, {})
        for i, name in enumerate(self.names, start=1):
            if state.get(name) is not None:
                self.rows[:, i, part] = state[name].detach().numpy().reshape(len(self.rows), -1)
        if self.adam:
            return int(state["step"]) if "step" in state else 0
        return int(state.get("momentum_buffer") is not None)

    def write(self, updates: int) -> None:
        """Put the parameters back, and the moments into tensors as the optimiser itself would have made them."""
        for name, value in self.arrays.items():
            value[...] = self.rows[:, 0, self.layout[name]].reshape(value.shape)
        if not self.names:
            return
        for parameter, part, g in self.parts:
            if g is None or (not self.adam and self.optimizer.param_groups[g]["momentum"] == 0):
                continue
            state = self.optimizer.state[parameter]
            if self.adam:
                if "step" not in state:
                    default = torch.get_default_dtype()
                    state["step"] = torch.tensor(0.0, dtype=default if default == torch.float64 else torch.float32)
                state["step"] += updates
            for i, name in enumerate(self.names, start=1):
                if state.get(name) is None:
                    state[name] = torch.zeros_like(parameter, requires_grad=False)
                array = state[name].detach().numpy()
                array[...] = self.rows[:, i, part].reshape(array.shape)


def _fill(numbers: int) -> samplers.Fill:
    """Return the way to draw minibatches that pays for so many numbers."""
    if numbers < FEW:
        return samplers.fill
    # numba takes half a second to import
    from reluviz.engines import philox

    return philox.fill
