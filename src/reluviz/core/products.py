"""Matrix products that stay on one thread.

Legend of shapes: A, B, C sizes of matrices; leading axes are those of stacks of matrices.
"""

import numpy as np

from reluviz.core.models.arrays import Array

MAX_PRODUCTS = 2**18
"""OpenBLAS starts threads for more multiplications than this. They wait for each other longer than they compute."""


def product(a: Array, b: Array) -> Array:
    """Return the matrix product of a [..., A, B] and b [..., B, C], in blocks of the longest of the axes A and C."""
    rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    if rows * inner * columns <= MAX_PRODUCTS:
        return a @ b
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    found = np.empty((*shape, rows, columns))
    if rows >= columns:
        step = max(1, MAX_PRODUCTS // (inner * columns))
        for start in range(0, rows, step):
            at = slice(start, start + step)
            np.matmul(a[..., at, :], b, out=found[..., at, :])
    else:
        step = max(1, MAX_PRODUCTS // (inner * rows))
        for start in range(0, columns, step):
            at = slice(start, start + step)
            np.matmul(a, b[..., at], out=found[..., at])
    return found
