"""Compiled kernels of the engine `fused` for chains: minibatch updates in place, for any depth and any widths.

Legend of shapes: R replicas, K updates, B batch, N samples, L hidden layers, W_l units of layer l, P parameters,
G parameter groups, S spans (adjacent parameters in one group).

A replica's parameters are one vector theta [P], in the order of the model's record and without padding: (w [W_1],
b_1 [W_1], W_2 [W_2, W_1], b_2 [W_2], ..., v [W_L], c). The output is layer L + 1, with one unit and phi(z) = z. With
e_l = (1/B) d(r_i^2)/dz_l of sample i:

    z_1 = w x_i + b_1     z_l = W_l h_(l-1) + b_l     h_l = phi(z_l)     r_i = z_(L+1) - y_i
    e_(L+1) = (2/B) r_i                e_(l-1) = (W_l^T e_l) phi'(z_(l-1))
    dL/dW_l = sum_i e_l h_(l-1)^T      dL/db_l = sum_i e_l

`core/models/mlp.py` has these formulas for contributions. Here samples are processed in blocks. Each unit has one row
of a block, with its h in `hidden`, its phi' in `gates` and its e in `errors`. All products are sums of vectors over
the samples of a block, in tiles whose sums stay in registers. The parameters therefore need no padding, and one kernel
serves all depths and widths.

The first rows of a block are unused (the memory before them may belong to another thread), x (INPUT) and ones (ONES).
The units follow from the row FIRST on, layer by layer, with the output last. A tile of a gradient may read up to three
more rows.
"""

import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from reluviz.engines import compile, minibatch_kernels
from reluviz.engines.minibatch_kernels import FASTMATH, _adam_step, _sgd_step, _Vector

# Inlined before types are inferred, which halves the time to compile. No fast mathematics: the emitted code says itself
# where a product and a sum may be rounded once.
inlined = numba.njit(inline="always")
BLOCK = 72
"""Most samples of a block, and the length of its rows. Rows that lie a power of two apart would compete for the same
lines of the cache."""
INPUT, ONES, FIRST = 1, 2, 3
"""The rows of x and of ones, and the row of the first unit."""
VECTOR_BYTES = 32
"""Bytes of a vector; shorter than in `minibatch_kernels`, because the last vector of a small batch is partly unused."""
TILE_ROWS, TILE_VECTORS = (1, 4), (2, 3)
"""Sizes of a tile of a product, in units and in vectors of samples. The 12 sums of the largest, 3 factors and a weight
fill 16 registers. Each size takes time to compile. All numbers of vectors from 2 on are sums of 2 and 3."""
DOT_ROWS, DOT_COLUMNS = (1, 3), 4
"""Sizes of a tile of a gradient, in units of one layer and of the layer before it."""
CONTRACT = ("contract",)
"""Flag of a product and a sum that are rounded once where the processor can do that."""


class _SampleVector(_Vector):
    """Emits code for vectors of samples, whose length divides that of a block."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        super().__init__(context, builder, signature, args)
        real = self.zero.type.element
        self.lanes = VECTOR_BYTES // self.bytes
        self.kind = ir.VectorType(real, self.lanes)
        self.zero = ir.Constant(self.kind, [0.0] * self.lanes)
        self.one = ir.Constant(self.kind, [1.0] * self.lanes)
        # once, because numba emits several instructions to find an array's data
        self.data = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args, args, strict=True)
            if isinstance(kind, types.Array)
        ]

    def pointer(self, argument: int, start: Any) -> Any:
        """Return a pointer to the vector of values start, start + 1, ... of an array; the arrays come first."""
        return self.builder.bitcast(self.builder.gep(self.data[argument], [start]), self.kind.as_pointer())

    def load_all(self, argument: int, start: Any, count: int) -> list[Any]:
        """Load `count` adjacent vectors."""
        return [self.load(argument, at) for at in self.steps(start, self.lanes, count)]

    def load_one(self, argument: int, at: Any) -> Any:
        """Load a value into every lane."""
        return self.broadcast(self.builder.load(self.builder.gep(self.data[argument], [at])))

    def steps(self, start: Any, step: Any, count: int) -> list[Any]:
        """Return the indices start, start + step, ...; `step` is a number or a value."""
        found = [start]
        for _ in range(count - 1):
            found.append(self.builder.add(found[-1], step if isinstance(step, ir.Value) else _index(step)))
        return found

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        """Return a b + total, rounded once where the processor can do that."""
        return self.builder.fadd(total, self.builder.fmul(a, b, flags=CONTRACT), flags=CONTRACT)

    def activate(self, z: Any, slope: Any, slope_at_0: Any) -> tuple[Any, Any]:
        """Return phi(z) and phi'(z). NaN stays NaN; -inf, which only a diverging network has, gives NaN for relu."""
        positive = self.builder.fcmp_ordered(">", z, self.zero)
        negative = self.builder.fcmp_ordered("<", z, self.zero)
        gate = self.builder.select(positive, self.one, self.builder.select(negative, slope, slope_at_0))
        return self.builder.select(positive, z, self.builder.fmul(slope, z)), gate

    def sums_of_four(self, values: list[Any]) -> Any:
        """Return a vector with the sums of the lanes of four vectors.

        Two steps sum groups of four lanes of each vector. Their shuffles are single instructions on processors with
        vectors of 32 bytes, and therefore differ between float32 and float64.
        """
        a, b, c, d = values
        of_b = self.lanes
        even = [first + lane for first in range(0, self.lanes, 4) for lane in (0, 2, of_b, of_b + 2)]
        if self.bytes == 4:
            # a0 a2 b0 b2, then a0 b0 c0 d0
            first_step = second_step = even, [lane + 1 for lane in even]
        else:
            # a0 b0 a2 b2, then a0 b0 c0 d0
            first_step = [0, of_b, 2, of_b + 2], [1, of_b + 1, 3, of_b + 3]
            second_step = [0, 1, of_b, of_b + 1], [2, 3, of_b + 2, of_b + 3]
        total = self._add_parts(self._add_parts(a, b, first_step), self._add_parts(c, d, first_step), second_step)
        lanes = self.lanes
        while lanes > 4:
            lanes //= 2
            total = self._add_parts(total, total, (range(lanes), range(lanes, 2 * lanes)))
        return total

    def _add_parts(self, a: Any, b: Any, parts: tuple[Sequence[int], Sequence[int]]) -> Any:
        """Return the sum of two selections of lanes; the numbers of b's lanes begin after those of a's."""
        return self.builder.fadd(*(self._shuffle(a, b, lanes) for lanes in parts))

    def _shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        positions = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return self.builder.shuffle_vector(a, b, positions)


def _index(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _emit_cases(builder: Any, selector: Any, cases: Mapping[int, Callable[[], None]]) -> None:
    """Emit code that does what the case of this number says."""
    end = builder.append_basic_block("end")
    switch = builder.switch(selector, end)
    for number, emit in cases.items():
        block = builder.append_basic_block(f"case{number}")
        switch.add_case(_index(number), block)
        builder.position_at_end(block)
        emit()
        builder.branch(end)
    builder.position_at_end(end)


def _emit_tile(
    vector: _SampleVector,
    which: Any,
    start: Any,
    step: tuple[Any, Any],
    source: Any,
    depth: Any,
    target: Any,
    finish: Any,
) -> None:
    """Emit code that computes a tile of a product of a matrix in theta with rows of samples.

    Args:
        vector: of the arguments (theta, array with the source, ...).
        which: the number of the tile's rows times 4 plus the number of its vectors.
        start: index of the matrix' first element of this tile.
        step: distance of the matrix' rows, and of its columns.
        source: index of the first row of samples.
        depth: number of columns of the matrix and of rows of samples.
        target: index of the result.
        finish: emits the rest, from the index of a row's result, the row's number, and its sums.
    """
    builder = vector.builder

    def emit(rows: int, columns: int) -> None:
        totals = [[cgutils.alloca_once_value(builder, vector.zero) for _ in range(columns)] for _ in range(rows)]
        with cgutils.for_range(builder, depth) as loop:
            at = builder.add(start, builder.mul(loop.index, step[1]))
            inputs = vector.load_all(1, builder.add(source, builder.mul(loop.index, _index(BLOCK))), columns)
            for row, place in zip(totals, vector.steps(at, step[0], rows), strict=True):
                weight = vector.load_one(0, place)
                for total, value in zip(row, inputs, strict=True):
                    builder.store(vector.multiply_add(weight, value, builder.load(total)), total)
        for number, (row, place) in enumerate(zip(totals, vector.steps(target, BLOCK, rows), strict=True)):
            finish(place, number, [builder.load(total) for total in row])

    sizes = itertools.product(TILE_ROWS, TILE_VECTORS)
    cases = {4 * rows + columns: functools.partial(emit, rows, columns) for rows, columns in sizes}
    _emit_cases(builder, which, cases)


def _emit_forward(
    typing: Any,
    theta: Any,
    hidden: Any,
    gates: Any,
    which: Any,
    weights: Any,
    below: Any,
    biases: Any,
    source: Any,
    target: Any,
    slope: Any,
    slope_at_0: Any,
) -> Any:
    """Emit code that computes a tile of h_l = phi(W_l h_(l-1) + b_l) and phi'."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _SampleVector(context, builder, signature, args)
        which, weights, below, biases, source, target = args[3:9]
        slope, slope_at_0 = (vector.broadcast(value) for value in args[9:])

        def finish(place: Any, row: int, totals: list[Any]) -> None:
            bias = vector.load_one(0, builder.add(biases, _index(row)))
            for at, total in zip(vector.steps(place, vector.lanes, len(totals)), totals, strict=True):
                h, gate = vector.activate(builder.fadd(total, bias), slope, slope_at_0)
                vector.store(h, 1, at)
                vector.store(gate, 2, at)

        _emit_tile(vector, which, weights, (below, _index(1)), source, below, target, finish)
        return context.get_dummy_value()

    index, real = types.int64, theta.dtype
    return types.void(theta, hidden, gates, index, index, index, index, index, index, real, real), generate


def _emit_backward(
    typing: Any,
    theta: Any,
    errors: Any,
    gates: Any,
    which: Any,
    weights: Any,
    below: Any,
    width: Any,
    source: Any,
    target: Any,
) -> Any:
    """Emit code that computes a tile of e_(l-1) = (W_l^T e_l) phi'(z_(l-1))."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _SampleVector(context, builder, signature, args)
        which, weights, below, width, source, target = args[3:]

        def finish(place: Any, row: int, totals: list[Any]) -> None:
            for at, total in zip(vector.steps(place, vector.lanes, len(totals)), totals, strict=True):
                vector.store(builder.fmul(total, vector.load(2, at)), 1, at)

        _emit_tile(vector, which, weights, (_index(1), below), source, width, target, finish)
        return context.get_dummy_value()

    index = types.int64
    return types.void(theta, errors, gates, index, index, index, index, index, index), generate


def _emit_first_layer(
    typing: Any, theta: Any, hidden: Any, gates: Any, width: Any, vectors: Any, slope: Any, slope_at_0: Any
) -> Any:
    """Emit code that computes h_1 and phi'. z = w x + b is rounded twice, as in PyTorch."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _SampleVector(context, builder, signature, args)
        width, vectors = args[3:5]
        slope, slope_at_0 = (vector.broadcast(value) for value in args[5:])
        with cgutils.for_range(builder, width) as units:
            weight, bias = vector.load_one(0, units.index), vector.load_one(0, builder.add(units.index, width))
            row = builder.mul(builder.add(units.index, _index(FIRST)), _index(BLOCK))
            with cgutils.for_range(builder, vectors) as loop:
                offset = builder.mul(loop.index, _index(vector.lanes))
                x = vector.load(1, builder.add(offset, _index(INPUT * BLOCK)))
                z = builder.fadd(builder.fmul(weight, x), bias)
                h, gate = vector.activate(z, slope, slope_at_0)
                vector.store(h, 1, builder.add(row, offset))
                vector.store(gate, 2, builder.add(row, offset))
        return context.get_dummy_value()

    index, real = types.int64, theta.dtype
    return types.void(theta, hidden, gates, index, index, real, real), generate


def _emit_dots(
    typing: Any,
    grad: Any,
    left: Any,
    right: Any,
    rows: Any,
    target: Any,
    step: Any,
    first: Any,
    second: Any,
    columns: Any,
    vectors: Any,
) -> Any:
    """Emit code that adds the inner products of `rows` rows of `left` with up to four rows of `right` to grad."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _SampleVector(context, builder, signature, args)
        which, target, step, first, second, columns, vectors = args[3:]
        four = ir.VectorType(vector.kind.element, DOT_COLUMNS)
        data = vector.data[0]

        def emit(rows: int) -> None:
            totals = [
                [cgutils.alloca_once_value(builder, vector.zero) for _ in range(DOT_COLUMNS)] for _ in range(rows)
            ]
            with cgutils.for_range(builder, vectors) as loop:
                offset = builder.mul(loop.index, _index(vector.lanes))
                factors = [vector.load(2, at) for at in vector.steps(builder.add(second, offset), BLOCK, DOT_COLUMNS)]
                for row, at in zip(totals, vector.steps(builder.add(first, offset), BLOCK, rows), strict=True):
                    value = vector.load(1, at)
                    for total, factor in zip(row, factors, strict=True):
                        builder.store(vector.multiply_add(value, factor, builder.load(total)), total)
            for row, at in zip(totals, vector.steps(target, step, rows), strict=True):
                sums = vector.sums_of_four([builder.load(total) for total in row])
                whole = builder.icmp_signed(">=", columns, _index(DOT_COLUMNS))
                with builder.if_else(whole) as (then, otherwise):
                    with then:
                        place = builder.bitcast(builder.gep(data, [at]), four.as_pointer())
                        old = builder.load(place, align=vector.bytes)
                        builder.store(builder.fadd(old, sums), place, align=vector.bytes)
                    with otherwise:
                        for lane in range(DOT_COLUMNS - 1):
                            with builder.if_then(builder.icmp_signed("<", _index(lane), columns)):
                                place = builder.gep(data, [builder.add(at, _index(lane))])
                                one = builder.extract_element(sums, ir.Constant(ir.IntType(32), lane))
                                builder.store(builder.fadd(builder.load(place), one), place)

        _emit_cases(builder, which, {rows: functools.partial(emit, rows) for rows in DOT_ROWS})
        return context.get_dummy_value()

    index = types.int64
    return types.void(grad, left, right, index, index, index, index, index, index, index), generate


_forward_tile: Any = intrinsic(_emit_forward)
_backward_tile: Any = intrinsic(_emit_backward)
_first_layer: Any = intrinsic(_emit_first_layer)
_dots: Any = intrinsic(_emit_dots)


@inlined
def _forward(theta, hidden, gates, weights, below, width, row, vectors, lanes, slope, slope_at_0):
    """Compute layer l, of `width` units, from the `below` units whose values begin at `row`."""
    rows = TILE_ROWS[1] if width >= TILE_ROWS[1] else TILE_ROWS[0]
    biases, done = weights + width * below, 0
    while done < vectors:
        columns = 2 if vectors - done == 2 or vectors - done == 4 else 3
        source = row * BLOCK + done * lanes
        for first in range(0, width, rows):
            # the last tile may repeat units of the one before
            unit = min(first, width - rows)
            target, weight = source + (below + unit) * BLOCK, weights + unit * below
            case, bias = 4 * rows + columns, biases + unit
            _forward_tile(theta, hidden, gates, case, weight, below, bias, source, target, slope, slope_at_0)
        done += columns


@inlined
def _backward(theta, errors, gates, weights, below, width, row, vectors, lanes):
    """Compute the errors of the `below` units, which begin at `row`, from those of the `width` units after them."""
    rows = TILE_ROWS[1] if below >= TILE_ROWS[1] else TILE_ROWS[0]
    done = 0
    while done < vectors:
        columns = 2 if vectors - done == 2 or vectors - done == 4 else 3
        target = row * BLOCK + done * lanes
        source = target + below * BLOCK
        for first in range(0, below, rows):
            unit = min(first, below - rows)
            place, case = target + unit * BLOCK, 4 * rows + columns
            _backward_tile(theta, errors, gates, case, weights + unit, below, width, source, place)
        done += columns


@inlined
def _add_dots(grad, target, left, first, rows, right, second, columns, vectors):
    """Add sum_i left_i right_i^T to the matrix [rows, columns] at grad[target]; rows begin at `first` and `second`."""
    i = 0
    while i < rows:
        count = DOT_ROWS[1] if rows - i >= DOT_ROWS[1] else DOT_ROWS[0]
        for j in range(0, columns, DOT_COLUMNS):
            _dots(
                grad,
                left,
                right,
                count,
                target + i * columns + j,
                columns,
                (first + i) * BLOCK,
                (second + j) * BLOCK,
                columns - j,
                vectors,
            )
        i += count


@functools.partial(compile.inlined, fastmath=FASTMATH)
def _residuals(f, y, batch, first, count, scale, errors):
    """Write the errors (2/B) r_i of a block's samples from the predictions f, and return sum_i r_i^2."""
    total = 0.0
    for i in range(count):
        r = f[i] - y[batch[first + i]]
        total += r * r
        errors[i] = scale * r
    return total


@inlined
def _chain_gradient(theta, x, y, batch, grad, widths, slope, slope_at_0, start, hidden, gates, errors, lanes):
    """Write the gradient of the parameters from index `start` on, and return L.

    Args:
        theta: the parameters.
        x: inputs.
        y: targets.
        batch: indices of the minibatch.
        grad: receives the gradient.
        widths: W_1, ..., W_L, 1.
        slope: phi' where z < 0.
        slope_at_0: phi' where z = 0.
        start: parameters before it are not trained.
        hidden: rows of a block, [units + 6, BLOCK], with ones in the row ONES.
        gates: phi', in the same rows.
        errors: e, in the same rows.
        lanes: samples of a vector.
    """
    size, layers, one = batch.shape[0], widths.shape[0], theta.dtype.type(1)
    parameters = theta.shape[0]
    for p in range(parameters):
        grad[p] = 0
    scale = theta.dtype.type(2.0 / size)
    length = -(-size // -(-size // BLOCK))
    total = 0.0
    for first in range(0, size, length):
        count = min(length, size - first)
        vectors = max(2, -(-count // lanes))
        for i in range(count):
            hidden[INPUT, i] = x[batch[first + i]]
        # the last vector is filled up with copies of the last sample, whose errors are 0
        for i in range(count, vectors * lanes):
            hidden[INPUT, i] = hidden[INPUT, count - 1]
        _first_layer(theta, hidden, gates, widths[0], vectors, slope, slope_at_0)
        row, at = FIRST, 2 * widths[0]
        for layer in range(1, layers):
            below, width = widths[layer - 1], widths[layer]
            last = layer == layers - 1
            _forward(
                theta,
                hidden,
                gates,
                at,
                below,
                width,
                row,
                vectors,
                lanes,
                one if last else slope,
                one if last else slope_at_0,
            )
            row += below
            at += width * (below + 1)
        total += _residuals(hidden[row], y, batch, first, count, scale, errors[row])
        for i in range(count, vectors * lanes):
            errors[row, i] = 0
        for layer in range(layers - 1, 0, -1):
            if at <= start:
                break
            below, width = widths[layer - 1], widths[layer]
            at -= width * (below + 1)
            _add_dots(grad, at, errors, row, width, hidden, row - below, below, vectors)
            _add_dots(grad, at + width * below, hidden, ONES, 1, errors, row, width, vectors)
            row -= below
            if at > start:
                _backward(theta, errors, gates, at, below, width, row, vectors, lanes)
        if at > start:
            # the gradients of w and b: the inner products of the errors with x and with ones
            _add_dots(grad, 0, hidden, INPUT, 2, errors, FIRST, widths[0], vectors)
    return total / size


def _entry_point(version: str) -> Callable[..., Any]:
    """Return the compiled entry point.

    Args:
        version: a hash of the steps' source. The cache on disk notices changes of this file and of the variables
            that a function gets from the function around it, but not of other files.
    """

    def chain_updates(
        first, last, state, x, y, indices, rates, spans, settings, loss, work, widths, slope, slope_at_0, adam
    ):
        """Make the updates of chains by SGD, or by Adam or AdamW if `adam`; see `minibatch_kernels`.

        widths are W_1, ..., W_L, 1; slope and slope_at_0 are phi' where z < 0 and where z = 0.
        """
        version  # noqa: B018
        real = state.dtype.type
        grad, lanes = work[0], VECTOR_BYTES // state.itemsize
        rows = FIRST + DOT_COLUMNS - 1
        for width in widths:
            rows += width
        hidden, gates = np.zeros((rows, BLOCK), state.dtype), np.zeros((rows, BLOCK), state.dtype)
        errors = np.zeros((rows, BLOCK), state.dtype)
        for i in range(BLOCK):
            hidden[ONES, i] = 1
        start = np.int64(spans[0, 0]) if spans.shape[0] > 0 else state.shape[2]
        for r in range(first, last):
            theta, moments, batches = state[r, 0], state[r, 1:], indices[r % indices.shape[0]]
            for k in range(rates.shape[0]):
                loss[r] = _chain_gradient(
                    theta,
                    x,
                    y,
                    batches[k % batches.shape[0]],
                    grad,
                    widths,
                    real(slope),
                    real(slope_at_0),
                    start,
                    hidden,
                    gates,
                    errors,
                    lanes,
                )
                if adam:
                    _adam_step(theta, grad, moments, rates, spans, settings, k)
                else:
                    _sgd_step(theta, grad, moments, rates, spans, settings, k)

    return compile.compiled(chain_updates, fastmath=False)


chain_updates = _entry_point(hashlib.sha256(Path(minibatch_kernels.__file__).read_bytes()).hexdigest())
