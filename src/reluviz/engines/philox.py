"""Random numbers for long runs and many replicas: NumPy's Philox4x64-10, bit for bit, several blocks at a time.

A block is four numbers, computed from the block's number and a key of two words in ten rounds (Salmon et al., Parallel
Random Numbers: As Easy as 1, 2, 3, 2011):

    (hi_a, lo_a) = M0 a,   (hi_c, lo_c) = M1 c,   (a, b, c, d) <- (hi_c ^ b ^ k0, lo_c, hi_a ^ d ^ k1, lo_a)

where products have 128 bits, and after every round W0 is added to k0 and W1 to k1. NumPy computes one block after
another. This module computes LANES blocks at a time, as the lanes of a vector, and releases the GIL.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from reluviz.engines import compile

ROUNDS = 10
MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
INCREMENTS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
LANES = 16
"""Number of blocks computed together."""
NUMBERS_PER_VECTOR = 4 * LANES
"""Numbers in these blocks."""
WORD_MASK = 2**64 - 1


def _emit_blocks(typing: Any, out: Any, block: Any, low: Any, high: Any, scale: Any) -> Any:
    """Emit code that writes scale m of blocks `block` .. block + LANES - 1 into out, m the numbers' first 53 bits."""
    signature = types.void(out, types.uint64, types.uint64, types.uint64, types.float64)
    is_integer = isinstance(out.dtype, types.Integer)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        words = _run_rounds(builder, _broadcast(builder, args[1]), [_broadcast(builder, key) for key in args[2:4]])
        factor, reals = _broadcast(builder, args[4]), ir.VectorType(ir.DoubleType(), LANES)
        scaled = []
        for word in words:
            real = builder.fmul(builder.sitofp(builder.lshr(word, _constant(11)), reals), factor)
            scaled.append(builder.fptosi(real, word.type) if is_integer else real)
        for first, found in enumerate(_in_block_order(builder, scaled)):
            start = builder.gep(array.data, [ir.Constant(ir.IntType(64), first * LANES)])
            builder.store(found, builder.bitcast(start, found.type.as_pointer()), align=8)
        return context.get_dummy_value()

    return signature, generate


_write_blocks: Any = intrinsic(_emit_blocks)


def _run_rounds(builder: Any, block: Any, keys: list[Any]) -> list[Any]:
    """Return the four words of LANES consecutive blocks as four vectors."""
    # NumPy increments the counter before it computes a block
    counter = builder.add(block, ir.Constant(block.type, list(range(1, LANES + 1))))
    # a loop over variables: ten unrolled rounds would take ten times as long to compile
    words = [cgutils.alloca_once_value(builder, word) for word in (counter, *[_constant(0)] * 3)]
    kept = [cgutils.alloca_once_value(builder, key) for key in keys]
    with cgutils.for_range(builder, ir.Constant(ir.IntType(64), ROUNDS)):
        a, b, c, d = (builder.load(word) for word in words)
        k0, k1 = (builder.load(key) for key in kept)
        (high_a, low_a), (high_c, low_c) = (
            _wide_product(builder, word, by) for word, by in zip((a, c), MULTIPLIERS, strict=True)
        )
        after = (
            *(builder.xor(builder.xor(high_c, b), k0), low_c),
            *(builder.xor(builder.xor(high_a, d), k1), low_a),
        )
        for place, value in zip(words, after, strict=True):
            builder.store(value, place)
        for place, key, step in zip(kept, (k0, k1), INCREMENTS, strict=True):
            builder.store(builder.add(key, _constant(step)), place)
    return [builder.load(word) for word in words]


def _wide_product(builder: Any, word: Any, by: int) -> tuple[Any, Any]:
    """Return the upper and lower half of a 128-bit product, from products of 32-bit halves, which vectors support."""
    half, low = _constant(32), _constant(2**32 - 1)
    word_low, word_high = builder.and_(word, low), builder.lshr(word, half)
    by_low, by_high = _constant(by & (2**32 - 1)), _constant(by >> 32)
    first = builder.add(builder.mul(word_high, by_low), builder.lshr(builder.mul(word_low, by_low), half))
    second = builder.add(builder.mul(word_low, by_high), builder.and_(first, low))
    carried = builder.add(builder.lshr(first, half), builder.lshr(second, half))
    return builder.add(builder.mul(word_high, by_high), carried), builder.mul(word, _constant(by))


def _in_block_order(builder: Any, words: list[Any]) -> list[Any]:
    """Return the numbers in block order: the four words of the first block, then those of the second, ..."""

    def interleave(one: Any, other: Any) -> Any:
        lanes = one.type.count
        order = [lane + lanes * which for lane in range(lanes) for which in (0, 1)]
        return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))

    a, b, c, d = words
    all_numbers = interleave(interleave(a, c), interleave(b, d))
    parts = []
    for first in range(0, NUMBERS_PER_VECTOR, LANES):
        chosen = list(range(first, first + LANES))
        parts.append(
            builder.shuffle_vector(all_numbers, all_numbers, ir.Constant(ir.VectorType(ir.IntType(32), LANES), chosen))
        )
    return parts


def _constant(value: int) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(64), LANES), [value] * LANES)


def _broadcast(builder: Any, value: Any) -> Any:
    kind = ir.VectorType(value.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


@compile.compiled
def _fill_kernel(low, high, block, skip, scale, out):
    buffer = np.empty(NUMBERS_PER_VECTOR, out.dtype)
    for first in range(-skip, out.shape[0], NUMBERS_PER_VECTOR):
        _write_blocks(buffer, block, low, high, scale)
        block += np.uint64(LANES)
        # unsigned, because a loop over possibly negative indices is not vectorised
        begin, unwanted = np.uintp(max(first, 0)), np.uintp(max(-first, 0))
        for i in range(np.uintp(min(first + NUMBERS_PER_VECTOR, out.shape[0])) - begin):
            out[begin + i] = buffer[unwanted + i]


def fill_random(seed: int, stream: int, start: int, scale: float, out: NDArray[Any]) -> None:
    """Write the numbers of `reluviz.data.samplers.fill_random`, releasing the GIL."""
    key = seed + (stream << 64)
    block, skip = divmod(start, 4)
    _fill_kernel(np.uint64(key & WORD_MASK), np.uint64(key >> 64), np.uint64(block), skip, scale, out)
