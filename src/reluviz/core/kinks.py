"""Where a chain bends: all its kinks and linear pieces on an interval, and the unit that each kink belongs to.

    z_l = W_l h_(l-1) + b_l,   h_l = phi(z_l),   f(x) = v . h_L + c;   see `models.architecture`

Between two neighbouring ends of pieces every pre-activation is a straight line. So the pieces are propagated layer by
layer: where a line changes its sign, one division gives the place, at which the piece is cut in two. Values at the ends
of pieces and slopes on pieces are both kept, because the difference of two nearly equal values has lost the digits of
the slope.

A pre-activation that is 0 at an end of a piece, but for rounding, is taken as exactly 0: its sign on both sides is that
of the other ends. Places that differ by rounding only are one place.

Legend of shapes: M pieces, U units of all hidden layers, C crossings. A chain is one replica: its parameters have no
replica axis.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reluviz.core.elbows import STATUS
from reluviz.core.models import mlp, relu
from reluviz.core.models.architecture import Architecture
from reluviz.core.models.arrays import Array, Parameters
from reluviz.core.products import product

DEAD, LINEAR, BENT = (STATUS.index(name) for name in ("dead", "linear", "bent"))
MAX_PIECES = 100_000
"""The most pieces. Beyond it f is only interpolated between its values at the ends of pieces."""
SMALLEST_JUMP = 1e-12
"""A kink of f is a place where f' jumps by more than this fraction of the total variation of f'."""
ROUNDINGS = 8.0
"""A sum of products counts as 0 if it is smaller than this many roundings of the sum of the absolute products."""
EPSILON, SMALLEST = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class ChainPieces:
    """The linear pieces of a chain on the interval [low, high].

    Attributes:
        ends: the ends of the pieces, from low to high, [M + 1].
        value: f at the ends, [M + 1].
        slope: f' on the pieces, [M].
        crossing_end: the index in `ends` at which a unit's pre-activation changes between z > 0 and z <= 0, [C].
        crossing_layer: the layer of that unit, counted from 1, [C].
        crossing_unit: its place in the layer, counted from 0, [C].
        capped: whether there are more than `MAX_PIECES` pieces, so that f is only interpolated.
    """

    ends: Array
    value: Array
    slope: Array
    crossing_end: NDArray[np.int64]
    crossing_layer: NDArray[np.int64]
    crossing_unit: NDArray[np.int64]
    capped: bool = False

    def __call__(self, x: Array) -> Array:
        """Return f(x); outside the interval the first and the last piece go on."""
        piece = self._piece(x)
        left = x - self.ends[piece] <= self.ends[piece + 1] - x
        nearest = np.where(left, piece, piece + 1)
        return self.value[nearest] + self.slope[piece] * (x - self.ends[nearest])

    def derivative(self, x: Array) -> Array:
        """Return f'(x), the limit from the left at a kink; outside the interval the first and the last piece go on."""
        found: Array = self.slope[self._piece(x)]
        return found

    def _piece(self, x: Array) -> NDArray[np.int64]:
        return np.searchsorted(self.ends[1:-1], x)

    @property
    def jump(self) -> Array:
        """f'(x+) - f'(x-) at the inner ends of pieces, [M - 1]."""
        return np.diff(self.slope)

    @property
    def total_variation(self) -> float:
        """The total variation of f' on the interval."""
        return float(np.abs(self.jump).sum())

    @property
    def bends(self) -> NDArray[np.bool_]:
        """Whether f' jumps at an end of a piece by more than `SMALLEST_JUMP` of its total variation, [M + 1]."""
        size = np.abs(self.jump)
        with np.errstate(invalid="ignore"):
            inner = size > SMALLEST_JUMP * self.total_variation
        return np.concatenate([[False], inner, [False]])

    @property
    def kinks(self) -> Array:
        """The places where f bends, sorted."""
        return self.ends[self.bends]

    def crossings(self, layer: int, unit: int) -> Array:
        """Return the places where the pre-activation of a unit changes its sign, sorted.

        Args:
            layer: counted from 1.
            unit: counted from 0.
        """
        chosen = (self.crossing_layer == layer) & (self.crossing_unit == unit)
        found: Array = self.ends[self.crossing_end[chosen]]
        return found


def chain_pieces(
    architecture: Architecture, p: Mapping[str, Array], low: float, high: float, most: int = MAX_PIECES
) -> ChainPieces:
    """Return the pieces of a chain on [low, high].

    Args:
        architecture: of the chain.
        p: the parameters of one replica.
        low: the left end of the interval.
        high: the right end, larger than low.
        most: the largest number of pieces.

    Raises:
        ValueError: if the interval is empty or a parameter is not finite.
    """
    if not low < high:
        raise ValueError(f"the interval from {low} to {high} is empty")
    hidden, v, c = architecture.layers({name: np.asarray(value, np.float64)[None] for name, value in p.items()})
    if not all(np.isfinite(value).all() for value in p.values()):
        raise ValueError("a parameter is not finite")
    lines = _Lines(np.array([low, high], np.float64), np.array([[low, high]], np.float64), np.ones((1, 1)), most)
    for weight, bias in hidden:
        lines.add_layer(weight[0], bias[0], architecture)
    value = v[0] @ lines.value + c[0]
    slope = np.diff(value) / np.diff(lines.ends) if lines.capped else v[0] @ lines.slope
    end, layer, unit = (
        np.concatenate(part) if part else np.zeros(0, np.int64) for part in (lines.crossing, lines.layer, lines.unit)
    )
    order = np.lexsort([unit, layer, end])
    return ChainPieces(lines.ends, value, slope, end[order], layer[order], unit[order], lines.capped)


def pieces_or_none(architecture: Architecture, p: Mapping[str, Array], low: float, high: float) -> ChainPieces | None:
    """Return the pieces of a chain on [low, high], as `chain_pieces` does; None if its function is not finite."""
    with np.errstate(all="ignore"):
        try:
            found = chain_pieces(architecture, p, low, high)
        except ValueError:
            return None
        finite = np.isfinite(found.value).all() and np.isfinite(found.slope).all()
    return found if finite else None


def chain_status(
    architecture: Architecture, p: Parameters, x: Array, precision: str = "float64", entries: int = 2**18
) -> NDArray[np.int64]:
    """Return the status of the units of all layers on the training inputs, [R, U], as an index into `elbows.STATUS`.

    dead: z <= 0 at every input where phi is constant there, so that the unit does not learn. linear: all inputs are on
    one side of z = 0. bent: otherwise. The first layer is decided in the precision of the run; see `relu.is_active`.

    Args:
        architecture: of the chain.
        p: the parameters, R replicas.
        x: training inputs [N].
        precision: the precision of the run.
        entries: the largest number of activations held at a time.
    """
    w, b = p["input_slope"], p["bias"]
    ends = np.array([x.min(), x.max()])
    first = relu.is_active(w[:, None], b[:, None], ends[:, None], precision)
    anywhere, everywhere = [first.any(1)], [first.all(1)]
    if len(architecture.hidden) > 1:
        step = max(1, entries // (len(w) * max(architecture.hidden)))
        for start in range(0, len(x), step):
            active = [z > 0 for z in mlp.preactivations(architecture, p, x[start : start + step])[1:]]
            parts = [np.concatenate(part, axis=-1) for part in ([a.any(1) for a in active], [a.all(1) for a in active])]
            if start == 0:
                anywhere.append(parts[0])
                everywhere.append(parts[1])
            else:
                anywhere[1], everywhere[1] = anywhere[1] | parts[0], everywhere[1] & parts[1]
    active_somewhere, active_everywhere = np.concatenate(anywhere, axis=-1), np.concatenate(everywhere, axis=-1)
    inactive = DEAD if architecture.negative_slope == 0 else LINEAR
    status: NDArray[np.int64] = np.where(active_everywhere, LINEAR, np.where(active_somewhere, BENT, inactive))
    return status


class _Lines:
    """The outputs of a layer as straight lines on the pieces.

    Attributes:
        ends: the ends of the pieces, [M + 1].
        value: h_l at the ends, [W_l, M + 1].
        slope: its derivative on the pieces, [W_l, M].
        crossing, layer, unit: for each layer so far, the index in `ends`, the layer and the unit of each crossing.
        capped: whether pieces that `most` does not allow are missing.
    """

    def __init__(self, ends: Array, value: Array, slope: Array, most: int) -> None:
        self.ends, self.value, self.slope, self.most = ends, value, slope, most
        self.crossing: list[NDArray[np.int64]] = []
        self.layer: list[NDArray[np.int64]] = []
        self.unit: list[NDArray[np.int64]] = []
        self.capped = False

    def add_layer(self, weight: Array, bias: Array, architecture: Architecture) -> None:
        """Replace the lines of h_(l-1) by those of h_l = phi(W_l h_(l-1) + b_l); cut pieces where z_l changes sign."""
        z = product(weight, self.value) + bias[:, None]
        slope = product(weight, self.slope)
        rounding = ROUNDINGS * EPSILON * (product(np.abs(weight), np.abs(self.value)) + np.abs(bias)[:, None])
        z[np.abs(z) <= rounding] = 0
        unit, piece = np.nonzero(z[:, :-1] * z[:, 1:] < 0)
        if len(unit):
            start, stop = z[unit, piece], z[unit, piece + 1]
            left, right = self.ends[piece], self.ends[piece + 1]
            # from the nearer end, where fewer digits are lost
            from_left = np.abs(start) <= np.abs(stop)
            part = np.where(from_left, start, stop) / (start - stop)
            place = np.where(from_left, left, right) + part * (right - left)
            size = np.abs(slope[unit, piece])
            rounded = rounding[unit, piece]
            # rounding moves a place by at most the length of its piece
            blur = np.where(rounded < size * (right - left), rounded / np.maximum(size, SMALLEST), right - left)
            blur += ROUNDINGS * EPSILON * max(abs(self.ends[0]), abs(self.ends[-1]))
            z, slope = self._cut(z, slope, unit, place, blur)
        # the larger of the two ends has the sign of the piece
        left_z, right_z = z[:, :-1], z[:, 1:]
        inside = np.where(np.abs(left_z) >= np.abs(right_z), left_z, right_z)
        active = inside > 0
        changes = active[:, :-1] != active[:, 1:]
        unit, piece = np.nonzero(changes)
        self.crossing.append(piece + 1)
        self.layer.append(np.full(len(unit), len(self.layer) + 1))
        self.unit.append(unit)
        self.value, self.slope = architecture.activate(z), architecture.gate(inside) * slope

    def _cut(self, z: Array, slope: Array, unit: NDArray[np.int64], place: Array, blur: Array) -> tuple[Array, Array]:
        """Cut pieces at places where a unit changes sign; return z and slope on the new pieces.

        Args:
            z: pre-activations at the ends, [W_l, M + 1].
            slope: their derivatives on the pieces, [W_l, M].
            unit: the units that change sign, [C].
            place: where they do, [C].
            blur: by how much rounding may have moved the place, [C].
        """
        order = np.argsort(place, kind="stable")
        unit, place, blur = unit[order], place[order], blur[order]
        # a place that rounding cannot tell from an end of a piece is that end
        after = self.ends[1:-1].searchsorted(place) + 1
        nearer_right = self.ends[after] - place < place - self.ends[after - 1]
        nearest = np.where(nearer_right, after, after - 1)
        at_end = np.abs(self.ends[nearest] - place) <= blur
        z[unit[at_end], nearest[at_end]] = 0
        unit, place, blur = unit[~at_end], place[~at_end], blur[~at_end]
        if not len(place):
            return z, slope
        # nor can it tell places from each other that lie this close
        apart = np.diff(place) > np.maximum(blur[1:], blur[:-1])
        group = np.concatenate([[0], np.cumsum(apart)])
        first = np.concatenate([[True], apart])
        new = place[first]
        room = max(0, self.most - self.slope.shape[1])
        if len(new) > room:
            self.capped = True
            kept = np.linspace(0, len(new) - 1, room).round().astype(int) if room else np.zeros(0, int)
            place_of = np.full(len(new), -1)
            place_of[kept] = np.arange(room)
            new, group = new[kept], place_of[group]
            unit, group = unit[group >= 0], group[group >= 0]
            if not len(new):
                return z, slope
        piece = self.ends.searchsorted(new) - 1
        left, right = self.ends[piece], self.ends[piece + 1]
        part = (new - left) / (right - left)
        between = z[:, piece] * (1 - part) + z[:, piece + 1] * part
        between[unit, group] = 0
        # where each old and new end, and each piece, goes
        moved = np.arange(len(self.ends)) + new.searchsorted(self.ends)
        inserted = piece + 1 + np.arange(len(new))
        self.crossing = [moved[each] for each in self.crossing]
        ends, values = np.empty(len(moved) + len(new)), np.empty((len(z), len(moved) + len(new)))
        ends[moved], ends[inserted] = self.ends, new
        values[:, moved], values[:, inserted] = z, between
        old_piece = np.repeat(np.arange(slope.shape[1]), np.diff(moved))
        self.ends = ends
        return values, slope[:, old_piece]
