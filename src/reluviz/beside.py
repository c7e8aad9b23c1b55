"""Snapshots are worked out by one neighbour of the process that trains, and drawn by another.

Python runs one thread of a process at a time: whatever is worked out in the process that trains holds it up.
"""

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reluviz import album, neighbours
from reluviz.album import Taken, Values
from reluviz.arrays import Array
from reluviz.darkroom import Darkroom, Developed, Here, Order, Sight
from reluviz.neighbours import LOST, Neighbour, receive, send

MOST_POINTS = 2**20
"""Points of a data set that is copied into another process, at most: 16 MB."""
MOST_SENT = 2**16
"""Parameters of a snapshot that is sent there, at most: 0.5 MB."""


class Beside:
    """Has neighbours work out and draw the snapshots of a run; once one is lost, this process does its work itself.

    Args:
        developer: works out snapshots, and draws the picture of the whole run.
        painter: draws the others.
        order: what is wanted.
    """

    def __init__(self, developer: Neighbour, painter: Neighbour, order: Order) -> None:
        self.order = order
        self.seconds = 0.0
        self._here: Here | None = None
        self._lost: set[Neighbour] = set()
        self._developer, self._painter = developer, painter
        # the target is the user's function, and other processes need not have it
        truth = order.dataset.truth()
        sent = replace(order.dataset, target=None if truth is None else Traced(truth[1]))
        for neighbour in (painter, developer):
            self._ask(neighbour, "begin", replace(order, dataset=sent))
        self._ask(painter, "prepare")

    def develop(self, taken: Sequence[Taken], sure: Sequence[bool], bound: Array) -> Developed:  # noqa: D102
        found: Developed = self._ask(self._developer, "develop", taken, sure, bound)
        return found

    def draw(self, sight: Sight) -> tuple[bytes, bytes]:  # noqa: D102
        pictures: tuple[bytes, bytes] = self._ask(self._painter, "draw", sight)
        return pictures

    def history(self, updates: Array, norms: Array) -> bytes:  # noqa: D102
        # meanwhile the painter draws what came last
        png: bytes = self._ask(self._developer, "history", updates, norms)
        return png

    def _ask(self, neighbour: Neighbour, what: str, *about: Any) -> Any:
        if neighbour not in self._lost:
            try:
                found, seconds = neighbour.ask(what, *about)
            except LOST:
                self._lost.add(neighbour)
            else:
                self.seconds += seconds
                return found
        if what == "begin":
            return None
        if self._here is None:
            self._here = Here(self.order)
        before = self._here.seconds
        found = getattr(self._here, what)(*about)
        self.seconds += self._here.seconds - before
        return found


@dataclass(frozen=True)
class Traced:
    """A function that is known where it is drawn.

    Attributes:
        values: there, [G].
    """

    values: Array

    def __call__(self, x: Array) -> Array:
        """Return the values, if x is where it is drawn."""
        assert len(x) == len(self.values)
        return self.values


def darkroom(order: Order, parameters: Values) -> Darkroom:
    """Return who works out the snapshots of a run.

    Args:
        order: what is wanted.
        parameters: those of a snapshot.
    """
    points = album.points(order.dataset)
    large = points > MOST_POINTS or sum(value.size for value in parameters.values()) > MOST_SENT
    if len(neighbours.running) < 2 or large or album.compiled(order.model, parameters, points):
        return Here(order)
    return Beside(neighbours.running[0], neighbours.running[1], order)


def serve(draws: bool) -> None:
    """Do what is asked for on the standard input until that ends.

    Args:
        draws: whether to be ready to draw.
    """
    if hasattr(os, "nice"):
        # where there are few processors, they are for those who train
        os.nice(5)
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    # nothing that is printed may come between the answers
    sys.stdout = sys.stderr
    rehearse(draws)
    here: Here | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            what, about = receive(asked)
            started = time.thread_time()
            found = None
            if what == "begin":
                here = Here(*about)
            else:
                found = getattr(here, what)(*about)
            drawn = time.thread_time() - started if what in ("prepare", "draw", "history") else 0.0
            send(answers, (found, drawn))
    os._exit(0)


def rehearse(draws: bool) -> None:
    """Do once what most runs do, so that code, fonts and marks are there: it takes as long as ten pictures."""
    from matplotlib import rcParams

    from reluviz.arrays import PARAMETERS
    from reluviz.data.targets import piecewise_linear
    from reluviz.pictures.style import RC

    rcParams.update(RC)
    data = piecewise_linear()
    here = Here(Order("relu", PARAMETERS["relu"], data, 0, "float32", True, True, 2, frozenset([1]), False, None))
    p = {name: np.ones((1, 2)) for name in PARAMETERS["relu"][:3]} | {"output_bias": np.ones(1)}
    found = here.develop([Taken(1, 0.0, p, np.ones(1))], [True], np.ones(1))
    if draws:
        here.draw(found.sights[0])
    else:
        here.history(np.arange(2.0), np.ones((2, len(data.x))))
