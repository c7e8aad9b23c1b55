"""The least-squares problem of the output layer of one ReLU network, in memory that does not grow with the points.

    Phi = [relu(w_k x_i + b_k), 1],   minimise |Phi theta - y|^2

Up to `MAX_DENSE_SAMPLES` points it is Phi and y themselves. For more points it is the triangle of a QR decomposition,

    [1 H | y] = Q [R r; 0 rho]        H the hidden features; Phi^T Phi is never formed, it would square the condition

which has the same singular values, the same solutions, and the same residuals but for a rotation. The rows are
appended in blocks: R of all rows so far and a block is the R of these rows [R; block] (G. H. Golub, C. F. Van Loan,
Matrix Computations, section 5.2). The first column, of ones, leaves below its row what centred data would give.

Legend of shapes: N samples, M rows, W hidden units, F columns of Phi (W + 1).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reluviz.core.models.arrays import Array, Parameters
from reluviz.core.models.relu import hidden_layer
from reluviz.core.theory import relu

HiddenFeatures = Callable[[Parameters, Array], Array]
"""Returns the activations of the last hidden layer, [R, N, W], from the parameters and x."""
MAX_DENSE_SAMPLES = 2**12
"""Up to this many points, Phi itself is kept."""
MAX_ENTRIES = 2**13
"""The most numbers in a matrix that is decomposed at once, if its columns are few: for larger ones OpenBLAS starts
threads, which take ten times the processor time for such narrow matrices."""


@dataclass(frozen=True)
class OutputProblem:
    """A least-squares problem with the solutions of the output layer.

    Attributes:
        phi: features, the column of ones last, or rows that stand for them, [M, F].
        y: targets, or what stands for them, [M].
        samples: N.
        triangle: [[R, r], [0, rho]], its first column that of the ones, [F + 1, F + 1]; None if phi is the features.
    """

    phi: Array
    y: Array
    samples: int
    triangle: Array | None = None

    @classmethod
    def of(
        cls, p: Parameters, x: Array, y: Array, dense: int | None = None, hidden: HiddenFeatures = hidden_layer
    ) -> "OutputProblem":
        """Return the problem of a network, in one pass over the points.

        Args:
            p: the parameters of one replica, [1], [1, W], ...
            x: inputs [N].
            y: targets [N].
            dense: up to this many points, Phi itself is kept, or up to F; `MAX_DENSE_SAMPLES` by default.
            hidden: the activations of the last hidden layer; see `Model.hidden_features`.
        """
        if len(x) <= max(MAX_DENSE_SAMPLES if dense is None else dense, p["output_weight"].shape[-1] + 1):
            features = hidden(p, x)[0]
            return cls(np.concatenate([features, np.ones_like(features[:, :1])], axis=-1), y, len(x))
        triangle = _triangle(p, x, y, hidden)
        order = [*range(1, len(triangle) - 1), 0]
        return cls(triangle[:, order], triangle[:, -1], len(x), triangle)

    def least_squares(self) -> relu.LeastSquares:
        """Return theta of least squares with the smallest norm [F], and the rank of Phi; see `relu.least_squares`."""
        return relu.least_squares(self.phi, self.y, self.samples)

    def ridge(self, lam: float) -> tuple[Array, Array]:
        """Return v [W] and c of ridge regression; see `relu.ridge`."""
        if self.triangle is None:
            return relu.ridge(self.phi[:, :-1], self.y, lam)
        # the means, from the row of the ones
        *centre, level = self.triangle[0, 1:] / self.triangle[0, 0]
        v = relu.penalized(self.triangle[1:, 1:-1], self.triangle[1:, -1], lam, self.samples)
        return v, np.asarray(level - (v * centre).sum())

    def condition_number(self) -> float:
        """Return the condition number of Phi; see `relu.effective_condition_number`."""
        return float(relu.effective_condition_number(self.phi, self.samples))


def _triangle(p: Parameters, x: Array, y: Array, hidden_features: HiddenFeatures) -> Array:
    """Return the triangle of [1 H | y]; see the head of this module."""
    columns = p["output_weight"].shape[-1] + 2
    rows = max(2 * columns, MAX_ENTRIES // columns)
    together = max(1, MAX_ENTRIES // columns**2 - 1)
    found = np.empty((0, columns))
    for start in range(0, len(x), together * rows):
        at = slice(start, start + together * rows)
        hidden = hidden_features(p, x[at])[0]
        block = np.concatenate([np.ones_like(hidden[:, :1]), hidden, y[at, None]], axis=1)
        whole = len(block) // rows * rows
        # one call for several small matrices
        parts = _r(block[:whole].reshape(-1, rows, columns)).reshape(-1, columns)
        found = _r(np.concatenate([found, parts, block[whole:]]))
    return found


def _r(matrices: Array) -> Array:
    """Return the R of QR decompositions; any leading axes."""
    found: Array = np.linalg.qr(matrices, mode="r")  # type: ignore[assignment]
    return found
