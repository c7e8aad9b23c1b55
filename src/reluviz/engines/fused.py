"""The fused engine: compiled kernels that make a whole piece of minibatch updates in place.

Legend of shapes: R replicas, K updates, B batch, N samples, W hidden units, P parameters, G parameter groups.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from reluviz.core.models import MODELS
from reluviz.data.samplers import RandomFill, fill_random
from reluviz.data.segments import Piece
from reluviz.engines.engine import ModelState
from reluviz.engines.parallel import run_in_threads
from reluviz.engines.support import unsupported_argument
from reluviz.errors import UserError

MOMENTS = {SGD: ("momentum_buffer",), Adam: ("exp_avg", "exp_avg_sq"), AdamW: ("exp_avg", "exp_avg_sq")}
"""Names of an optimiser's moments in its state."""
MAX_INDICES_PER_CALL = 2**16
"""Most indices drawn for one call of a kernel: 512 kB, which stay in the core's cache until the kernel reads them."""
MIN_NUMBERS_FOR_PHILOX = 2**23
"""Total of random numbers drawn in a process above which the compiled generator replaces NumPy's.

Below it, loading the compiled generator takes longer than it saves; a first run even has to compile it.
"""


def cost(width: int, batch: int, samples: int, precise: bool) -> tuple[float, float]:
    """Return the estimated nanoseconds of an update with the dense and with the sorted kernel.

    The dense kernel is O(B W), eight samples at a time, and twice as fast in float32. The sorted kernel is O(B + W).
    It is slower if the data have many more points than its grid, since the units within a cell are then ranked one by
    one. The estimates lie between those of two processors with AVX-512, one with twice the throughput of the other.
    At B = 40, N = 200 the kernels are equal near W = 130 in float64 and 250 in float32; at B = 400 near W = 30 and 50.
    """
    dense = 150 + 2.5 * batch + (0.2 if precise else 0.1) * -(-batch // 8) * 8 * width
    ordered = 850 + 6 * batch + (1.6 if precise else 0.7) * width
    return dense, ordered if samples <= _max_cells(batch) else ordered + 200 + 6 * batch + width


def chain_cost(parameters: int, batch: int, precise: bool) -> float:
    """Return the estimated nanoseconds of an update of a chain: three products for each weight and sample."""
    return 500 + 3 * batch + (0.2 if precise else 0.1) * parameters * batch


def _max_cells(batch: int) -> int:
    """Return the largest number of grid cells: about four times the batch, so that few cells have points and elbows."""
    return 4 * batch + 256


class _Choice(NamedTuple):
    """A kernel for a run.

    Attributes:
        kernel: the compiled function.
        more: its further arguments.
        padded_width: length of a parameter of the hidden units, with its padding; None for parameters without padding.
        nanoseconds: estimated time of an update.
        sorted_batches: whether the kernel needs sorted batches.
    """

    kernel: Callable[..., None]
    more: tuple[Any, ...]
    padded_width: int | None
    nanoseconds: float
    sorted_batches: bool = False


class Fused:
    """Minimises L = (1/B) sum_i r_i^2 of each replica as `Reference` does, to rounding, without autograd.

    Supports the three models and chains, torch's SGD, Adam and AdamW, float32 and float64 on the CPU. Results do not
    depend on where pieces begin and end, or on the other replicas, bit for bit.
    """

    name = "fused"
    by_replica = True
    numbers_drawn = 0
    """Total of random numbers drawn in this process."""

    def __init__(self) -> None:
        self.reason = ""
        self._x: Tensor | None = None
        self._y: Tensor | None = None
        self._points: tuple[NDArray[Any], NDArray[Any]]
        self._x_is_sorted = False
        self._buffers: _KernelBuffers | None = None

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
            UserError: if the optimiser or the device is not supported; `engines.support` finds this before training.
        """
        kind = type(optimizer)
        problem = None if kind in MOMENTS else f"the optimizer {kind.__name__}"
        for group in optimizer.param_groups:
            problem = problem or unsupported_argument(group)
        if x.device.type != "cpu":
            problem = f"the device {x.device}"
        if problem is not None:
            raise UserError(f"engine=fused: {problem} is not supported; use engine=reference")

        self._set_points(state.model, x, y)
        arrays = state.arrays()
        choice = self._kernel(state.model, kind is SGD, arrays, piece.batch or len(x))
        buffers = self._buffers = _KernelBuffers.reuse(self._buffers, state, optimizer, arrays, choice.padded_width)
        buffers.read()
        loss = np.empty(state.replicas, buffers.rows.dtype)
        # numba would compile a second kernel for a read-only array, or for one in another order
        rates = np.array(rates, order="C")
        # numba takes half a second to import
        from reluviz.engines.minibatch_kernels import padded_copy

        Fused.numbers_drawn += len(loss) * len(piece) * (piece.batch or 0)
        fill = _random_fill(Fused.numbers_drawn)
        # full batch: one array of indices for all replicas and updates
        all_points = np.arange(len(x))[None, None]

        def run_chunk(first: int, last: int) -> None:
            drawn = piece.replica_indices(first, last, fill)
            indices = all_points if drawn is None else drawn
            if choice.sorted_batches:
                # sorting int32 takes half the time
                indices = np.sort(indices.astype(np.int32), axis=-1)
            chunk = slice(first, last)
            rows, chunk_loss, work = padded_copy(buffers.rows[chunk], loss[chunk])
            args = (rows, *self._points, indices, rates, buffers.spans, buffers.settings)
            choice.kernel(0, last - first, *args, chunk_loss, work, *choice.more)
            buffers.rows[chunk], loss[chunk] = rows, chunk_loss

        max_replicas = None if piece.batch is None else max(1, MAX_INDICES_PER_CALL // (len(piece) * piece.batch))
        run_in_threads(run_chunk, len(loss), choice.nanoseconds * len(piece), max_replicas)

        buffers.write(len(piece))
        return torch.from_numpy(loss)

    def _set_points(self, model: str, x: Tensor, y: Tensor) -> None:
        """Store the points as arrays."""
        if self._x is not x or self._y is not y:
            self._x, self._y = x, y
            # f = theta phi(x) is the linear model on phi(x)
            phi = MODELS[model].feature
            inputs = np.ascontiguousarray(x.numpy() if phi is None else phi(x.numpy()))
            self._points = inputs, np.ascontiguousarray(y.numpy())
            self._x_is_sorted = bool((inputs[1:] >= inputs[:-1]).all())

    def _kernel(self, model: str, sgd: bool, arrays: Mapping[str, NDArray[Any]], batch: int) -> _Choice:
        """Return the kernel for a model and its optimiser."""
        # numba takes half a second to import
        from reluviz.engines import minibatch_kernels as kernels

        if (architecture := MODELS[model].architecture) is not None:
            from reluviz.engines.chain_kernels import chain_updates

            precise = next(iter(arrays.values())).dtype == np.float64
            slope_at_0 = float(architecture.gate(np.zeros(1))[0])
            more = (np.array([*architecture.hidden, 1]), architecture.negative_slope, slope_at_0, not sgd)
            return _Choice(chain_updates, more, None, chain_cost(architecture.parameters, batch, precise))
        if not MODELS[model].has_units:
            kernel = kernels.one_parameter_sgd if sgd else kernels.one_parameter_adam
            return _Choice(kernel, (), 1, 50.0 + 2 * batch)
        slope = arrays["input_slope"]
        width = slope.shape[1]
        dense, ordered = cost(width, batch, len(self._points[0]), slope.dtype == np.float64)
        # a multiple of vectors of 64 bytes: the remainder of a loop costs as much as several vectors
        lanes = 64 // slope.itemsize
        padded_width = -(-width // lanes) * lanes
        if dense <= ordered or not self._x_is_sorted:
            return _Choice(kernels.dense_sgd if sgd else kernels.dense_adam, (), padded_width, dense)
        shift = 0
        while len(self._points[0]) >> shift > _max_cells(batch):
            shift += 1
        grid = np.ascontiguousarray(self._points[0][:: 1 << shift])
        kernel = kernels.sorted_sgd if sgd else kernels.sorted_adam
        # one more vector, since vectors may begin at any unit
        return _Choice(kernel, (grid, shift, width), padded_width + lanes, ordered, sorted_batches=True)


def _layout(arrays: Mapping[str, NDArray[Any]], padded_width: int | None) -> tuple[dict[str, slice], int]:
    """Return the slice of each parameter in a replica's vector, and the vector's length.

    Args:
        arrays: the parameters.
        padded_width: length of a parameter of the hidden units, with its padding; None for parameters without padding.
    """
    layout, start = {}, 0
    for name, value in arrays.items():
        layout[name] = slice(start, start + value[0].size)
        start += value[0].size if padded_width is None or value.ndim == 1 else padded_width
    return layout, start


class _KernelBuffers:
    """Parameters, hyper-parameters and optimiser state in the arrays that the kernels work on.

    Args:
        state: the model.
        optimizer: the optimiser of its parameters.
        arrays: views of the parameters.
        padded_width: as for `_layout`.

    Attributes:
        spans: start, stop, group and number of earlier updates of adjacent parameters in one group, [S, 4].
        settings: hyper-parameters of each group, [G, ...].
        rows: the parameters and their moments, [R, 1 + number of moments, P]; zeros for moments that do not exist yet.
    """

    spans: NDArray[np.uint64]
    settings: NDArray[np.float64]
    rows: NDArray[Any]

    def __init__(
        self, state: ModelState, optimizer: Optimizer, arrays: Mapping[str, NDArray[Any]], padded_width: int | None
    ) -> None:
        self.optimizer, self.arrays, self.padded_width = optimizer, arrays, padded_width
        self.adam = type(optimizer) is not SGD
        self.layout, size = _layout(arrays, padded_width)
        self.groups = [list(group["params"]) for group in optimizer.param_groups]
        group_of = {id(p): g for g, params in enumerate(self.groups) for p in params}
        parameters = state.parameters
        self.parts = [
            (parameters[name], part, group_of.get(id(parameters[name]))) for name, part in self.layout.items()
        ]
        first = next(iter(arrays.values()))
        self.shape, self.dtype = (len(first), size), first.dtype

    @classmethod
    def reuse(
        cls,
        previous: "_KernelBuffers | None",
        state: ModelState,
        optimizer: Optimizer,
        arrays: Mapping[str, NDArray[Any]],
        padded_width: int | None,
    ) -> "_KernelBuffers":
        """Return `previous` if it belongs to this model and optimiser, else new buffers."""
        if previous is None or previous.optimizer is not optimizer or previous.padded_width != padded_width:
            return cls(state, optimizer, arrays, padded_width)
        # the model's parameters or their memory may have been replaced, and the optimiser's groups changed
        same = all(previous.arrays[name] is value for name, value in arrays.items())
        same = same and all(
            state.parameters[name] is part[0] for name, part in zip(arrays, previous.parts, strict=True)
        )
        groups = [group["params"] for group in optimizer.param_groups]
        same = same and [list(map(id, one)) for one in previous.groups] == [list(map(id, one)) for one in groups]
        return previous if same else cls(state, optimizer, arrays, padded_width)

    def read(self) -> None:
        """Copy the current parameters, moments and hyper-parameters into the arrays."""
        groups = self.optimizer.param_groups
        self.settings = np.array([self._hyper_parameters(group) for group in groups], dtype=float)
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
                earlier_updates = self._read_moments(parameter, part)
                if before is not None and spans[-1][2:] == [g, earlier_updates]:
                    # the span may cover the padding between two parameters, since zeros stay zeros
                    spans[-1][1] = part.stop
                else:
                    spans.append([part.start, part.stop, g, earlier_updates])
            before = g
        self.spans = np.array(spans, dtype=np.uint64).reshape(-1, 4)

    def _hyper_parameters(self, group: dict[str, Any]) -> list[float]:
        if not self.adam:
            return [group["momentum"], group["dampening"], group["nesterov"], group["weight_decay"]]
        decoupled = isinstance(self.optimizer, AdamW) or group.get("decoupled_weight_decay", False)
        return [*group["betas"], group["eps"], group["weight_decay"], decoupled]

    def _read_moments(self, parameter: Tensor, part: slice) -> int:
        """Copy a parameter's moments and return the number of updates they contain (SGD: 0 or 1)."""
        state = self.optimizer.state.get(parameter, {})
        for i, name in enumerate(self.names, start=1):
            if state.get(name) is not None:
                self.rows[:, i, part] = state[name].detach().numpy().reshape(len(self.rows), -1)
        if self.adam:
            return int(state["step"]) if "step" in state else 0
        return int(state.get("momentum_buffer") is not None)

    def write(self, updates: int) -> None:
        """Copy the arrays back after K updates, creating the optimiser's state as the optimiser would have done."""
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


def _random_fill(numbers: int) -> RandomFill:
    """Return the faster random generator for a process that draws this many numbers in total."""
    if numbers < MIN_NUMBERS_FOR_PHILOX:
        return fill_random
    # numba takes half a second to import
    from reluviz.engines import philox

    return philox.fill_random
