"""Random chains, and their kinks in exact fractions, for tests."""

import itertools
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from reluviz.core.models.architecture import ACTIVATIONS, Architecture
from reluviz.core.models.arrays import Array

APART = 1e-12
"""Exact kinks closer than this are one: rounding cannot tell them apart."""


def random_chain(generator: np.random.Generator, depth: int, widest: int) -> tuple[Architecture, dict[str, Array]]:
    """Return a chain of this depth with one replica's parameters; some units are equal, dead, tied or zero."""
    widths = tuple(int(width) for width in generator.integers(1, widest + 1, depth))
    architecture = Architecture(widths, str(generator.choice(ACTIVATIONS)))
    p = {name: np.asarray(generator.normal(size=shape)) for name, shape in architecture.shapes.items()}
    for (weight, bias), width in zip(architecture.names[:-1], widths, strict=True):
        kind = generator.integers(0, 8)
        if kind < 3 and width > 1:
            # equal, tied on the same side, tied on the other side
            factor = (1.0, 3.0, -2.5)[kind]
            p[weight][1], p[bias][1] = factor * p[weight][0], factor * p[bias][0]
        elif kind == 3:
            p[weight][0], p[bias][0] = 0, 0
        elif kind == 4:
            p[weight][0] = 0
        elif kind == 5:
            p[bias][:] = 0
        elif kind == 6:
            p[weight], p[bias] = np.round(2 * p[weight]) / 2, np.round(2 * p[bias]) / 2
    return architecture, p


def replica(p: Mapping[str, Array]) -> dict[str, Array]:
    """Return the parameters with a replica axis."""
    return {name: np.asarray(value)[None] for name, value in p.items()}


def exact_kinks(
    architecture: Architecture, p: Mapping[str, Array], low: float, high: float
) -> tuple[list[float], list[tuple[int, int, float]]]:
    """Return the kinks of f on (low, high), and the crossings (layer, unit, x) of all units, by exact fractions."""
    negative = Fraction(architecture.negative_slope)
    hidden, v, _ = architecture.layers(replica(p))
    ends = [Fraction(low), Fraction(high)]
    # on each piece the line of each unit: slope and intercept
    pieces = [[(Fraction(1), Fraction(0))]]
    crossings = []
    for layer, (weight, bias) in enumerate(hidden, start=1):
        rows = [[Fraction(float(value)) for value in row] for row in weight[0]]
        offsets = [Fraction(float(value)) for value in bias[0]]
        new_ends, lines = [ends[0]], []
        for j, before in enumerate(pieces):
            z = [
                (
                    sum((a * slope for a, (slope, _) in zip(row, before, strict=True)), Fraction(0)),
                    sum((a * level for a, (_, level) in zip(row, before, strict=True)), offset),
                )
                for row, offset in zip(rows, offsets, strict=True)
            ]
            cuts = {-level / slope for slope, level in z if slope}
            new_ends += [*sorted(cut for cut in cuts if ends[j] < cut < ends[j + 1]), ends[j + 1]]
            lines += [z] * (len(new_ends) - 1 - len(lines))
        ends = new_ends
        middle = [(left + right) / 2 for left, right in itertools.pairwise(ends)]
        active = [[slope * x + level > 0 for slope, level in z] for x, z in zip(middle, lines, strict=True)]
        pieces = [
            [
                (slope, level) if on else (negative * slope, negative * level)
                for on, (slope, level) in zip(a, z, strict=True)
            ]
            for a, z in zip(active, lines, strict=True)
        ]
        crossings += [
            (layer, k, float(ends[j + 1]))
            for j in range(len(active) - 1)
            for k in range(len(offsets))
            if active[j][k] != active[j + 1][k]
        ]
    weights = [Fraction(float(value)) for value in v[0]]
    slopes = [sum((a * slope for a, (slope, _) in zip(weights, h, strict=True)), Fraction(0)) for h in pieces]
    jumps = [after - before for before, after in itertools.pairwise(slopes)]
    variation = sum(map(abs, jumps))
    kinks = [float(end) for end, jump in zip(ends[1:], jumps, strict=False) if abs(jump) > variation / 10**12]
    return [x for i, x in enumerate(kinks) if i == 0 or x - kinks[i - 1] > APART], sorted(crossings)
