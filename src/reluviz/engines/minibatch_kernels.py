"""Compiled kernels of the engine `fused`: minibatch updates of the three models in place.

Legend of shapes: R replicas, K updates, B batch, N samples, W hidden units, P parameters, G parameter groups,
S spans (adjacent parameters in one group), M grid points.

A replica's parameters are one vector theta [P]: (theta) or (w_1..w_W, b_1..b_W, v_1..v_W, c). W may be padded with
units of zeros, which are inactive everywhere and stay zeros. `padded` is the padded width. Every entry point
(`one_parameter_sgd`, `dense_adam`, ...) makes K updates of replicas first .. last - 1:

    state [R, 1 to 3, P]: theta and the optimiser's moments, changed in place
    x, y [N], indices [R or 1, K or 1, B] (1: the same for all), rates [K, G]
    spans [S, 4]: start, stop, group, number of earlier updates in the optimiser's state; unsigned, since loops
        over possibly negative indices are not vectorised
    settings [G, ...]: hyper-parameters of each group; see `_sgd_step` and `_adam_step`
    loss [R]: receives the mean squared error of the last minibatch before its update
    work: scratch memory; see `padded_copy`

All functions are in one file, because the cache on disk only notices changes of the file of an entry point.
"""

import functools
import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from reluviz.engines import compile

# No "contract": the gate w x + b > 0 must round as in PyTorch, which multiplies, rounds, then adds. `_dense_gradient`
# computes it in `_preactivation`. No "nnan": a diverging network must show NaN.
FASTMATH = {"reassoc", "nsz", "arcp"}
compiled = functools.partial(compile.compiled, fastmath=FASTMATH)
inlined = functools.partial(compile.inlined, fastmath=FASTMATH)
CACHE_LINE_BYTES = 128
"""Bytes of memory that a processor fetches together: two lines of 64 bytes."""
TILE = 1024
"""Samples processed at a time: they stay in the fastest cache. In float32, summing the sums of tiles keeps digits that
one long sum would lose."""
UNIT_BITS = 32
"""Number of bits for the unit's number in a key."""
UNIT_MASK = 2**UNIT_BITS - 1
MAX_MOVED_FRACTION = 1 / 8
"""Largest fraction of the units that are moved one by one after an update; beyond it, sorting all is faster."""


def padded_copy(rows: NDArray[Any], loss: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return copies of a chunk's state and losses, and scratch memory [4, P or more], on cache lines of their own.

    Kernels write all of it at every update. If two threads wrote into the same cache line or adjacent ones, they
    would wait for each other for a third of the time.

    Args:
        rows: parameters and moments of the C replicas of a chunk, [C, 1 + moments, P].
        loss: losses, [C].
    """
    pad, work_shape = CACHE_LINE_BYTES // rows.itemsize, (4, max(rows.shape[2], TILE + 8))
    # zeros, because kernels write no gradient of the padding
    memory = np.zeros(pad + rows.size + loss.size + work_shape[0] * work_shape[1] + pad, rows.dtype)
    row_copies, rest = memory[pad : pad + rows.size].reshape(rows.shape), memory[pad + rows.size :]
    loss_copies, work = rest[: loss.size], rest[loss.size : -pad].reshape(work_shape)
    row_copies[...], loss_copies[...] = rows, loss
    return row_copies, loss_copies, work


@inlined
def _one_parameter_gradient(theta, x, y, batch, grad):
    """Write dL/dtheta of f(x) = theta x, (2/B) sum_i r_i x_i, and return L."""
    total = 0.0
    gradient = 0.0
    for i in range(batch.shape[0]):
        j = batch[i]
        r = theta[0] * x[j] - y[j]
        total += r * r
        gradient += r * x[j]
    grad[0] = 2 * gradient / batch.shape[0]
    return total / batch.shape[0]


@inlined
def _preactivation(w, x, b):
    """Return w x + b, rounded twice; inside `_dense_gradient`, which allows contraction, it would be rounded once."""
    return w * x + b


@inlined
def _relu(h, zero):
    """Return max(0, h); written in this order it is one instruction and preserves NaN."""
    return zero if zero > h else h


@inlined
def _if_active(h, r, zero):
    """Return r where h > 0, else 0."""
    return r if h > zero else zero


@functools.partial(inlined, fastmath=FASTMATH | {"contract"})
def _dense_gradient(theta, x, y, batch, grad, partial_sums, xs, rs):
    """Write the gradient of the ReLU network, in O(B W), and return L.

    With h_ik = w_k x_i + b_k and, over the active samples h_ik > 0, (S1, Sx) = (2/B) sum_i r_i (1, x_i):
        dL/dw_k = v_k Sx,  dL/db_k = v_k S1,  dL/dv_k = w_k Sx + b_k S1,  dL/dc = (2/B) sum_i r_i

    The inner loop is over units; each unit is read once for eight samples. partial_sums [P] and xs, rs [TILE + 8] are
    scratch memory.
    """
    width = np.uintp(theta.shape[0] // 3)
    size = np.uintp(batch.shape[0])
    zero = theta.dtype.type(0)
    scale = theta.dtype.type(2.0 / size)
    c = theta[3 * width]
    for p in range(3 * width + 1):
        grad[p] = zero
    total = 0.0
    for first in range(0, size, TILE):
        count = TILE if size - first > TILE else size - first
        for i in range(count):
            xs[i] = x[batch[first + i]]
        # the last group of eight may go beyond the last sample; residuals are 0 there
        for i in range(count, count + 8):
            xs[i] = zero
        for i in range(0, count, 8):
            x0 = xs[i]
            x1 = xs[i + 1]
            x2 = xs[i + 2]
            x3 = xs[i + 3]
            x4 = xs[i + 4]
            x5 = xs[i + 5]
            x6 = xs[i + 6]
            x7 = xs[i + 7]
            f0 = f1 = f2 = f3 = f4 = f5 = f6 = f7 = zero
            for k in range(width):
                w = theta[k]
                b = theta[width + k]
                v = theta[2 * width + k]
                f0 += v * _relu(_preactivation(w, x0, b), zero)
                f1 += v * _relu(_preactivation(w, x1, b), zero)
                f2 += v * _relu(_preactivation(w, x2, b), zero)
                f3 += v * _relu(_preactivation(w, x3, b), zero)
                f4 += v * _relu(_preactivation(w, x4, b), zero)
                f5 += v * _relu(_preactivation(w, x5, b), zero)
                f6 += v * _relu(_preactivation(w, x6, b), zero)
                f7 += v * _relu(_preactivation(w, x7, b), zero)
            rs[i] = f0
            rs[i + 1] = f1
            rs[i + 2] = f2
            rs[i + 3] = f3
            rs[i + 4] = f4
            rs[i + 5] = f5
            rs[i + 6] = f6
            rs[i + 7] = f7
        residuals = zero
        for i in range(count):
            r = rs[i] + c - y[batch[first + i]]
            total += r * r
            rs[i] = r * scale
            residuals += rs[i]
        for i in range(count, count + 8):
            rs[i] = zero
        for k in range(2 * width):
            partial_sums[k] = zero
        for i in range(0, count, 8):
            x0 = xs[i]
            x1 = xs[i + 1]
            x2 = xs[i + 2]
            x3 = xs[i + 3]
            x4 = xs[i + 4]
            x5 = xs[i + 5]
            x6 = xs[i + 6]
            x7 = xs[i + 7]
            r0 = rs[i]
            r1 = rs[i + 1]
            r2 = rs[i + 2]
            r3 = rs[i + 3]
            r4 = rs[i + 4]
            r5 = rs[i + 5]
            r6 = rs[i + 6]
            r7 = rs[i + 7]
            for k in range(width):
                w = theta[k]
                b = theta[width + k]
                a0 = _if_active(_preactivation(w, x0, b), r0, zero)
                a1 = _if_active(_preactivation(w, x1, b), r1, zero)
                a2 = _if_active(_preactivation(w, x2, b), r2, zero)
                a3 = _if_active(_preactivation(w, x3, b), r3, zero)
                a4 = _if_active(_preactivation(w, x4, b), r4, zero)
                a5 = _if_active(_preactivation(w, x5, b), r5, zero)
                a6 = _if_active(_preactivation(w, x6, b), r6, zero)
                a7 = _if_active(_preactivation(w, x7, b), r7, zero)
                partial_sums[k] += a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7
                partial_sums[width + k] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3 + a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7
        for k in range(width):
            grad[k] += theta[2 * width + k] * partial_sums[width + k]
            grad[width + k] += theta[2 * width + k] * partial_sums[k]
            grad[2 * width + k] += theta[k] * partial_sums[width + k] + theta[width + k] * partial_sums[k]
        grad[3 * width] += residuals
    return total / size


@inlined
def _find_cell(w, b, cell, grid):
    """Return the number of grid points left of a unit's elbow; the search starts at `cell`.

    A grid point e is left of the elbow where (w e + b > 0) != (w >= 0); this is monotone in e, also after rounding.
    """
    zero = grid.dtype.type(0)
    points = grid.shape[0]
    rising = w >= zero
    low, high, step = 0, points, 1
    if cell < points and (w * grid[cell] + b > zero) != rising:
        low = cell + 1
        while low + step <= points and (w * grid[low + step - 1] + b > zero) != rising:
            low += step
            step *= 2
        high = min(low + step - 1, points)
    else:
        high = cell
        while high - step >= 0 and (w * grid[high - step] + b > zero) == rising:
            high -= step
            step *= 2
        low = max(high - step + 1, 0)
    while low < high:
        middle = (low + high) // 2
        if (w * grid[middle] + b > zero) == rising:
            high = middle
        else:
            low = middle + 1
    return low


class _Vector:
    """Emits code that processes units one vector at a time.

    LLVM vectorises loops on its own, but processes the remainder that fills no vector one by one. Here the loops are
    only a few vectors long, so most of the time would go into the remainder.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        real = context.get_value_type(signature.args[0].dtype)
        self.context, self.builder, self.signature, self.args = context, builder, signature, args
        self.bytes = 4 if isinstance(real, ir.FloatType) else 8
        self.lanes = 64 // self.bytes
        self.kind = ir.VectorType(real, self.lanes)
        self.zero = ir.Constant(self.kind, [0.0] * self.lanes)

    def pointer(self, argument: int, start: Any) -> Any:
        """Return a pointer to the vector of values start, start + 1, ... of an array."""
        array = self.context.make_array(self.signature.args[argument])(self.context, self.builder, self.args[argument])
        return self.builder.bitcast(self.builder.gep(array.data, [start]), self.kind.as_pointer())

    def load(self, argument: int, start: Any) -> Any:
        """Load a vector from an array."""
        return self.builder.load(self.pointer(argument, start), align=self.bytes)

    def store(self, value: Any, argument: int, start: Any) -> None:
        """Store a vector into an array."""
        self.builder.store(value, self.pointer(argument, start), align=self.bytes)

    def loop(self, start: Any, stop: Any) -> Any:
        """Open a loop over start, start + lanes, ... below stop."""
        step = ir.Constant(start.type, self.lanes)
        return cgutils.for_range_slice(self.builder, start, stop, step)

    def mask_below(self, at: Any, stop: Any) -> Any:
        """Return a mask: which of at, at + 1, ... are below stop."""
        left = self.builder.trunc(self.builder.sub(stop, at), ir.IntType(32))
        order = ir.Constant(ir.VectorType(left.type, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", order, self.broadcast(left))

    def broadcast(self, value: Any) -> Any:
        """Return a vector with the same value in every lane."""
        index, positions = ir.IntType(32), ir.VectorType(ir.IntType(32), self.lanes)
        one = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        one = self.builder.insert_element(one, value, ir.Constant(index, 0))
        return self.builder.shuffle_vector(one, one, ir.Constant(positions, [0] * self.lanes))

    def sum(self, value: Any) -> Any:
        """Return the sum of a vector's lanes, adding halves to halves."""
        count = self.lanes
        while count > 1:
            count //= 2
            halves = (
                ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(first, first + count)))
                for first in (0, count)
            )
            value = self.builder.fadd(*(self.builder.shuffle_vector(value, value, half) for half in halves))
        return self.builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


def _row_starts(builder: Any, count: int, padded: Any, at: Any) -> list[Any]:
    """Return the indices of a unit's values in the first `count` rows; `at` is its index in the first row."""
    return [builder.add(at, builder.mul(padded, ir.Constant(padded.type, row))) for row in range(count)]


def _emit_count_in_cell(typing: Any, theta: Any, edges: Any, padded: Any, at: Any, stop: Any) -> Any:
    """Emit code that counts the units at, at + 1, ... before the first one outside its cell.

    It counts at most one vector of units, and only units below `stop`.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, (padded, at, stop) = _Vector(context, builder, signature, args), args[2:]
        rows = _row_starts(builder, 2, padded, at)
        w, b = (vector.load(0, row) for row in rows)
        h_active, h_inactive = (builder.fadd(builder.fmul(w, vector.load(1, row)), b) for row in rows)
        moved = builder.or_(
            builder.fcmp_unordered("<=", h_active, vector.zero), builder.fcmp_ordered(">", h_inactive, vector.zero)
        )
        bits = builder.bitcast(builder.and_(moved, vector.mask_below(at, stop)), ir.IntType(vector.lanes))
        return builder.zext(builder.cttz(bits, ir.Constant(ir.IntType(1), 0)), ir.IntType(64))

    return types.int64(theta, edges, types.int64, types.int64, types.int64), generate


def _emit_run_sums(typing: Any, theta: Any, padded: Any, start: Any, stop: Any) -> Any:
    """Emit code that returns the sums of w v and of b v over the units start .. stop - 1."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, (padded, start, stop) = _Vector(context, builder, signature, args), args[1:]
        totals = [cgutils.alloca_once_value(builder, vector.zero) for _ in range(2)]
        with vector.loop(start, stop) as (at, _):
            w, b, v = (vector.load(0, row) for row in _row_starts(builder, 3, padded, at))
            inside = vector.mask_below(at, stop)
            for value, total in zip((w, b), totals, strict=True):
                product = builder.select(inside, builder.fmul(value, v), vector.zero)
                builder.store(builder.fadd(builder.load(total), product), total)
        sums = [vector.sum(builder.load(total)) for total in totals]
        return context.make_tuple(builder, signature.return_type, sums)

    return types.UniTuple(theta.dtype, 2)(theta, types.int64, types.int64, types.int64), generate


def _emit_run_gradient(typing: Any, theta: Any, grad: Any, padded: Any, start: Any, stop: Any, s1: Any, sx: Any) -> Any:
    """Emit code that writes the gradients of the units start .. stop - 1.

    It also overwrites the gradients of up to one vector of units after them.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, (padded, start, stop) = _Vector(context, builder, signature, args), args[2:5]
        s1, sx = (vector.broadcast(value) for value in args[5:])
        with vector.loop(start, stop) as (at, _):
            rows = _row_starts(builder, 3, padded, at)
            w, b, v = (vector.load(0, row) for row in rows)
            of_v = builder.fadd(builder.fmul(w, sx), builder.fmul(b, s1))
            for value, row in zip((builder.fmul(v, sx), builder.fmul(v, s1), of_v), rows, strict=True):
                vector.store(value, 1, row)
        return context.get_dummy_value()

    real = theta.dtype
    return types.void(theta, grad, types.int64, types.int64, types.int64, real, real), generate


def _emit_rotate(typing: Any, values: Any, p: Any, q: Any) -> Any:
    """Emit code that moves an array's value from index p to q, shifting the values between them by one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        _, p, q = args
        one = ir.Constant(p.type, 1)
        up = builder.icmp_signed("<", p, q)
        low, high = builder.select(up, p, q), builder.select(up, q, p)
        above = builder.add(low, one)
        value = builder.load(builder.gep(array.data, [p]))
        to, source = (builder.gep(array.data, [builder.select(up, *pair)]) for pair in ((low, above), (above, low)))
        cgutils.raw_memmove(builder, to, source, builder.sub(high, low), array.itemsize)
        builder.store(value, builder.gep(array.data, [q]))
        return context.get_dummy_value()

    return types.void(values, types.int64, types.int64), generate


_rotate: Any = intrinsic(_emit_rotate)
_count_in_cell: Any = intrinsic(_emit_count_in_cell)
_run_sums: Any = intrinsic(_emit_run_sums)
_run_gradient: Any = intrinsic(_emit_run_gradient)


@inlined
def _reorder(rows, padded, source, scratch):
    """Move the unit at index source[q] to index q, for all q; rows [n, P] are parameters and their moments."""
    for n in range(rows.shape[0]):
        for start in (0, padded, 2 * padded):
            for q in range(source.shape[0]):
                scratch[q] = rows[n, start + source[q]]
            for q in range(source.shape[0]):
                rows[n, start + q] = scratch[q]


@inlined
def _write_cell_bounds(grid, bounds):
    """Write the grid points next to each cell: where its units must be active, and where inactive; [2, cells]."""
    points = grid.shape[0]
    for m in range(points + 1):
        left = grid[m - 1] if m > 0 else -np.inf
        right = grid[m] if m < points else np.inf
        bounds[0, m], bounds[1, m] = right, left
        bounds[0, points + 1 + m], bounds[1, points + 1 + m] = left, right


@inlined
def _sort_units(rows, grid, bounds, keys, cells, positions, source, starts, edges, padded, scratch):
    """Find the units' cells and sort the units by cell; see `_sorted_gradient`."""
    for cell in range(starts.shape[0]):
        starts[cell] = 0
    m = 0
    for p in range(keys.shape[0]):
        # adjacent units often have adjacent elbows
        m = _find_cell(rows[0, p], rows[0, padded + p], m, grid)
        cells[p] = m if rows[0, p] >= 0 else grid.shape[0] + 1 + m
        starts[cells[p] + 2] += 1
        positions[keys[p] & UNIT_MASK] = p
    for cell in range(1, starts.shape[0]):
        starts[cell] += starts[cell - 1]
    for k in range(keys.shape[0]):
        p = positions[k]
        q = starts[cells[p] + 1]
        starts[cells[p] + 1] += 1
        keys[q] = cells[p] << UNIT_BITS | k
        source[q] = p
        edges[q], edges[padded + q] = bounds[0, cells[p]], bounds[1, cells[p]]
    _reorder(rows, padded, source, scratch)


@inlined
def _move_units(rows, grid, bounds, keys, starts, edges, padded):
    """Move the units that have left their cells to their new positions, and return whether all units are in order.

    edges [2 padded] are the grid points next to each unit's elbow: where it must be active, and where inactive.
    """
    points, width, lanes = grid.shape[0], keys.shape[0], 64 // rows.itemsize
    max_moved = int(MAX_MOVED_FRACTION * width)
    moved = p = 0
    while p < width and moved <= max_moved:
        in_cell = _count_in_cell(rows, edges, padded, p, width)
        if in_cell == lanes:
            # round up to a multiple, so that a vector lies within one cache line
            p = (p | lanes - 1) + 1
            continue
        p += in_cell
        before = keys[p] >> UNIT_BITS
        m = _find_cell(rows[0, p], rows[0, padded + p], before if before <= points else before - points - 1, grid)
        cell = m if rows[0, p] >= 0 else points + 1 + m
        if cell == before:
            p += 1
            continue
        moved += 1
        key = cell << UNIT_BITS | keys[p] & UNIT_MASK
        low, high = starts[cell], starts[cell + 1]
        while low < high:
            middle = (low + high) // 2
            if keys[middle] < key:
                low = middle + 1
            else:
                high = middle
        q = low - 1 if cell > before else low
        for between in range(before + 1, cell + 1):
            starts[between] -= 1
        for between in range(cell + 1, before + 1):
            starts[between] += 1
        _rotate(keys, p, q)
        keys[q] = key
        for n in range(rows.shape[0]):
            for row in range(3):
                start = n * rows.shape[1] + row * padded
                _rotate(rows, start + p, start + q)
        _rotate(edges, p, q)
        _rotate(edges, padded + p, padded + q)
        edges[q], edges[padded + q] = bounds[0, cell], bounds[1, cell]
        # if it moved up, another unit is now at index p
        if q < p:
            p += 1
    return moved <= max_moved


@inlined
def _sorted_gradient(theta, x, y, batch, grad, padded, shift, starts, points, ends, ambiguous, ranks, jumps, sums):
    """Write the gradient of the ReLU network, in O(B + W), and return L; the batch is sorted by x.

    A unit is active on one side of its elbow. Its rank j is the number of samples left of the elbow. It adds w v to the
    slope and b v to the intercept of the samples j .. B - 1 if it faces right, or 0 .. j - 1 if it faces left. So sums
    over the units of each rank, and running sums of these, give every f(x_i). Running sums of r_i and r_i x_i then
    give every unit's gradient:

        dL/dw_k = v_k Sx,  dL/db_k = v_k S1,  dL/dv_k = w_k Sx + b_k S1,  (S1, Sx) = (2/B) sum_active r_i (1, x_i)

    Ranks are exact: they follow from the predicate w x + b > 0, computed as in `_dense_gradient`, and not from -b/w.
    A grid divides the x axis into cells. The units are sorted by the cell of their elbow, first those that face right,
    so that units of the same rank are adjacent for every batch. The few units that leave their cells at an update are
    moved.

    grid [M] is every 2^shift-th x. Cell m is left of grid[m], and M + 1 + m is that cell for units that face left.
    keys [W] are the units' cells and numbers, 2^UNIT_BITS cell + k, in increasing order, so that the order follows from
    the parameters. starts [2M + 4] are the first units of each cell. points, ends [B], ambiguous, ranks [W], jumps and
    sums [2B + 2, 2] are scratch memory.
    """
    # a point drawn several times is processed once, with a weight
    size = 0
    last = np.int64(-1)
    for i in range(batch.shape[0]):
        size += batch[i] != last
        last = batch[i]
        points[size - 1], ends[size - 1] = last, i + 1

    zero, real = theta.dtype.type(0), theta.dtype.type
    half = starts.shape[0] // 2 - 1
    cell_mask = (1 << shift) - 1

    for side in range(2):
        begin = starts[side * half]
        for i in range(size + 1):
            q = side * (size + 1) + i
            stop = starts[side * half + (points[i] >> shift) + 1] if i < size else starts[(side + 1) * half]
            jumps[q, 0] = 0.0
            jumps[q, 1] = 0.0
            if begin < stop:
                of_slope, of_intercept = _run_sums(theta, padded, begin, stop)
                jumps[q, 0] = of_slope
                jumps[q, 1] = of_intercept
            if i < size:
                begin = starts[side * half + ((points[i] + cell_mask) >> shift) + 1]

    # if a cell has samples inside, its units are ranked one by one
    count = 0
    if shift > 0:
        for i in range(size):
            m = points[i] >> shift
            if points[i] & cell_mask == 0 or (i > 0 and points[i - 1] > m << shift):
                continue
            for side in range(2):
                cell = side * half + m + 1
                for p in range(starts[cell], starts[cell + 1]):
                    w, b, v = theta[p], theta[padded + p], theta[2 * padded + p]
                    j = i
                    while j < size and (w * x[points[j]] + b > zero) != (side == 0):
                        j += 1
                    rank = side * (size + 1) + j
                    jumps[rank, 0] += w * v
                    jumps[rank, 1] += b * v
                    ambiguous[count], ranks[count] = p, rank
                    count += 1

    # units that are active on no sample contribute only NaN and infinity
    slope = 0.0 * (jumps[size, 0] + jumps[size + 1, 0])
    intercept = 0.0 * (jumps[size, 1] + jumps[size + 1, 1]) + theta[3 * padded]
    jumps[size + 1, 0] = 0.0
    jumps[size + 1, 1] = 0.0
    for q in range(size + 2, 2 * size + 2):
        slope += jumps[q, 0]
        intercept += jumps[q, 1]
    total = 0.0
    s1 = 0.0
    sx = 0.0
    scale = 2.0 / batch.shape[0]
    done = 0
    for i in range(size):
        q = size + 1 + i
        slope += jumps[i, 0] - jumps[q, 0]
        intercept += jumps[i, 1] - jumps[q, 1]
        sums[q, 0] = s1
        sums[q, 1] = sx
        r = slope * x[points[i]] + intercept - y[points[i]]
        multiplicity = ends[i] - done
        done = ends[i]
        total += multiplicity * r * r
        r *= scale * multiplicity
        s1 += r
        sx += r * x[points[i]]
    sums[2 * size + 1, 0] = s1
    sums[2 * size + 1, 1] = sx
    for i in range(size + 1):
        sums[i, 0] = s1 - sums[size + 1 + i, 0]
        sums[i, 1] = sx - sums[size + 1 + i, 1]

    for side in range(2):
        begin = starts[side * half]
        for i in range(size + 1):
            q = side * (size + 1) + i
            stop = starts[side * half + (points[i] >> shift) + 1] if i < size else starts[(side + 1) * half]
            if begin < stop:
                _run_gradient(theta, grad, padded, begin, stop, real(sums[q, 0]), real(sums[q, 1]))
            if i < size:
                begin = starts[side * half + ((points[i] + cell_mask) >> shift) + 1]
    for n in range(count):
        p = ambiguous[n]
        of_b, of_w = real(sums[ranks[n], 0]), real(sums[ranks[n], 1])
        grad[p] = theta[2 * padded + p] * of_w
        grad[padded + p] = theta[2 * padded + p] * of_b
        grad[2 * padded + p] = theta[p] * of_w + theta[padded + p] * of_b
    grad[3 * padded] = s1
    return total / batch.shape[0]


@inlined
def _sgd_step(theta, grad, moments, rates, spans, settings, k):
    """Make one step of torch.optim.SGD; the settings are momentum, dampening, nesterov, weight decay.

    d = g + decay theta;  m <- momentum m + (1 - dampening) d, the first time m <- d;
    theta <- theta - lr (d without momentum; d + momentum m with Nesterov; else m)
    """
    real = theta.dtype.type
    for s in range(spans.shape[0]):
        start, stop, group = spans[s, 0], spans[s, 1], spans[s, 2]
        lr, decay = real(rates[k, group]), real(settings[group, 3])
        if settings[group, 0] == 0:
            for p in range(start, stop):
                theta[p] -= lr * (grad[p] + decay * theta[p])
        else:
            momentum = real(settings[group, 0])
            keep = real(1.0 if spans[s, 3] == 0 and k == 0 else 1 - settings[group, 1])
            nesterov = settings[group, 2] != 0
            of_grad, of_moment = real(1 if nesterov else 0), momentum if nesterov else real(1)
            for p in range(start, stop):
                d = grad[p] + decay * theta[p]
                m = momentum * moments[0, p] + keep * d
                moments[0, p] = m
                theta[p] -= lr * (of_grad * d + of_moment * m)


@inlined
def _adam_step(theta, grad, moments, rates, spans, settings, k):
    """Make one step of torch.optim.Adam or AdamW; the settings are beta1, beta2, eps, weight decay, decoupled.

    theta <- (1 - lr decay) theta if decoupled, else g <- g + decay theta;
    m <- m + (1 - beta1) (g - m);  s <- beta2 s + (1 - beta2) g^2;
    theta <- theta - lr / (1 - beta1^t) m / (sqrt(s) / sqrt(1 - beta2^t) + eps)
    """
    real = theta.dtype.type
    for n in range(spans.shape[0]):
        group = spans[n, 2]
        beta1, beta2 = settings[group, 0], settings[group, 1]
        t = float(spans[n, 3]) + k + 1
        step = real(rates[k, group] / (1 - beta1**t))
        root = real(1 / math.sqrt(1 - beta2**t))
        of_grad, keep, of_square, eps = real(1 - beta1), real(beta2), real(1 - beta2), real(settings[group, 2])
        shrink, decay = real(1), real(settings[group, 3])
        if settings[group, 4] != 0:
            shrink, decay = real(1 - rates[k, group] * settings[group, 3]), real(0)
        for p in range(spans[n, 0], spans[n, 1]):
            g = grad[p] + decay * theta[p]
            m = moments[0, p] + of_grad * (g - moments[0, p])
            s = keep * moments[1, p] + of_square * g * g
            moments[0, p] = m
            moments[1, p] = s
            theta[p] = shrink * theta[p] - step * m / (math.sqrt(s) * root + eps)


@compiled
def one_parameter_sgd(first, last, state, x, y, indices, rates, spans, settings, loss, work):
    """Make the updates of a one-parameter model by SGD; f = theta x, with x = 1 for the constant model."""
    grad = work[0]
    for r in range(first, last):
        theta, moments, batches = state[r, 0], state[r, 1:], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _one_parameter_gradient(theta, x, y, batch, grad)
            _sgd_step(theta, grad, moments, rates, spans, settings, k)


@compiled
def one_parameter_adam(first, last, state, x, y, indices, rates, spans, settings, loss, work):
    """Make the updates of a one-parameter model by Adam or AdamW."""
    grad = work[0]
    for r in range(first, last):
        theta, moments, batches = state[r, 0], state[r, 1:], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _one_parameter_gradient(theta, x, y, batch, grad)
            _adam_step(theta, grad, moments, rates, spans, settings, k)


@compiled
def dense_sgd(first, last, state, x, y, indices, rates, spans, settings, loss, work):
    """Make the updates of the ReLU network by SGD, in O(B W) each."""
    grad, partial_sums, xs, rs = work[0], work[1], work[2], work[3]
    for r in range(first, last):
        theta, moments, batches = state[r, 0], state[r, 1:], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _dense_gradient(theta, x, y, batch, grad, partial_sums, xs, rs)
            _sgd_step(theta, grad, moments, rates, spans, settings, k)


@compiled
def dense_adam(first, last, state, x, y, indices, rates, spans, settings, loss, work):
    """Make the updates of the ReLU network by Adam or AdamW, in O(B W) each."""
    grad, partial_sums, xs, rs = work[0], work[1], work[2], work[3]
    for r in range(first, last):
        theta, moments, batches = state[r, 0], state[r, 1:], indices[r % indices.shape[0]]
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            loss[r] = _dense_gradient(theta, x, y, batch, grad, partial_sums, xs, rs)
            _adam_step(theta, grad, moments, rates, spans, settings, k)


@compiled
def sorted_sgd(first, last, state, x, y, indices, rates, spans, settings, loss, work, grid, shift, width):
    """Make the updates of the ReLU network by SGD, in O(B + W) each; x and every batch must be sorted."""
    grad, scratch, size, padded = work[0], work[1], indices.shape[2], state.shape[2] // 3
    keys, numbers = np.empty(width, np.int64), np.empty((3, width), np.int64)
    cells, positions, source = numbers[0], numbers[1], numbers[2]
    starts, edges = np.empty(2 * grid.shape[0] + 4, np.int64), np.empty(2 * padded, state.dtype)
    bounds = np.empty((2, 2 * grid.shape[0] + 2), state.dtype)
    points, ends = np.empty(size, np.int64), np.empty(size, np.int64)
    jumps, sums = np.empty((2 * size + 2, 2)), np.empty((2 * size + 2, 2))
    _write_cell_bounds(grid, bounds)
    for r in range(first, last):
        rows, theta, moments, batches = state[r], state[r, 0], state[r, 1:], indices[r % indices.shape[0]]
        for p in range(width):
            keys[p] = p
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            if k == 0 or not _move_units(rows, grid, bounds, keys, starts, edges, padded):
                _sort_units(rows, grid, bounds, keys, cells, positions, source, starts, edges, padded, scratch)
            loss[r] = _sorted_gradient(
                theta, x, y, batch, grad, padded, shift, starts, points, ends, cells, positions, jumps, sums
            )
            _sgd_step(theta, grad, moments, rates, spans, settings, k)
        for p in range(width):
            source[keys[p] & UNIT_MASK] = p
        _reorder(rows, padded, source, scratch)


@compiled
def sorted_adam(first, last, state, x, y, indices, rates, spans, settings, loss, work, grid, shift, width):
    """Make the updates of the ReLU network by Adam or AdamW, in O(B + W) each; x and every batch must be sorted."""
    grad, scratch, size, padded = work[0], work[1], indices.shape[2], state.shape[2] // 3
    keys, numbers = np.empty(width, np.int64), np.empty((3, width), np.int64)
    cells, positions, source = numbers[0], numbers[1], numbers[2]
    starts, edges = np.empty(2 * grid.shape[0] + 4, np.int64), np.empty(2 * padded, state.dtype)
    bounds = np.empty((2, 2 * grid.shape[0] + 2), state.dtype)
    points, ends = np.empty(size, np.int64), np.empty(size, np.int64)
    jumps, sums = np.empty((2 * size + 2, 2)), np.empty((2 * size + 2, 2))
    _write_cell_bounds(grid, bounds)
    for r in range(first, last):
        rows, theta, moments, batches = state[r], state[r, 0], state[r, 1:], indices[r % indices.shape[0]]
        for p in range(width):
            keys[p] = p
        for k in range(rates.shape[0]):
            batch = batches[k % batches.shape[0]]
            if k == 0 or not _move_units(rows, grid, bounds, keys, starts, edges, padded):
                _sort_units(rows, grid, bounds, keys, cells, positions, source, starts, edges, padded, scratch)
            loss[r] = _sorted_gradient(
                theta, x, y, batch, grad, padded, shift, starts, points, ends, cells, positions, jumps, sums
            )
            _adam_step(theta, grad, moments, rates, spans, settings, k)
        for p in range(width):
            source[keys[p] & UNIT_MASK] = p
        _reorder(rows, padded, source, scratch)
