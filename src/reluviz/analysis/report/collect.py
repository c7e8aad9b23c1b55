"""Runs become a study: read on all cores, named by what varies, grouped, no seed twice.

Legend of shapes: n replicas, T snapshots.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.progress import progress
from reluviz.analysis.report.find_runs import MAKE_SOME, find_runs
from reluviz.analysis.report.groups import Group, Groups, Replica, Skipped, Value
from reluviz.analysis.report.labels import by_value, vary
from reluviz.analysis.report.run_summary import ENDED, RunSummary, take
from reluviz.errors import UserError

NUMBERS = 30_000_000
"""Of all curves together, to be kept in memory, about."""
FEWEST = 600
"""Of a run's own, however many runs there are."""
ALONE = 300
"""So many runs are read while other processes would be starting."""
CHUNK = 25

Taken = tuple[RunSummary | None, Skipped | None]


def collect(folders: Sequence[Path]) -> Groups:
    """Return all that is known of the runs at or below some folders.

    Raises:
        UserError: if there is no such folder, or no run in it.
    """
    with progress("reading runs") as show:
        taken = []
        found = find_runs(folders)
        for each in _taken(found):
            taken.append(each)
            show(len(taken), len(found))
    runs = [run for run, _ in taken if run is not None]
    left = [said for _, said in taken if said is not None]
    count = sum(run is not None or said is not None for run, said in taken)
    if not count:
        raise UserError(f"{folders[0]}: there are no runs of reluviz at or below it; {MAKE_SOME}")
    if not runs:
        return Groups(tuple(folders), (), (), tuple(left), count)
    varying = vary([run.settings for run in runs])
    grouped: dict[tuple[tuple[str, Value], ...], list[RunSummary]] = defaultdict(list)
    for run, label in zip(runs, varying.labels, strict=True):
        grouped[tuple(label.items())].append(run)
    groups = []
    for named in sorted(grouped, key=lambda one: by_value(dict(one))):
        group, repeats = _group(dict(named), grouped[named])
        left += repeats
        groups.append(group)
    return Groups(tuple(folders), tuple(groups), varying.keys, tuple(sorted(left, key=lambda one: one.folder)), count)


def _taken(found: Sequence[Path]) -> Iterator[Taken]:
    """Yield what is taken in of each run, in their order."""
    most = max(FEWEST, NUMBERS // max(1, len(found)))
    take_one = partial(take, most=most)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(found) < ALONE or cores == 1:
        yield from map(take_one, found)
        return
    # spawn works everywhere, and with threads
    with ProcessPoolExecutor(min(cores, 8), get_context("spawn")) as pool:
        yield from pool.map(take_one, found, chunksize=CHUNK)


def _group(label: Mapping[str, Value], runs: Sequence[RunSummary]) -> tuple[Group, list[Skipped]]:
    """Return the group of some runs, whose paths are in order, and those that repeat a seed.

    Of two runs with one seed the one that came to its end is taken; of two such, the first.
    """
    taken: dict[int, tuple[RunSummary, int]] = {}
    repeats = []
    for run in sorted(runs, key=lambda one: one.status not in ENDED):
        known = [seed for seed in run.seeds if seed in taken]
        if known:
            there = taken[known[0]][0].folder
            shown = ", ".join(map(str, known[:6])) + ", ..." * (len(known) > 6)
            detail = f"seed{'s' * (len(known) > 1)} {shown}: counted once, as in {there}"
            repeats.append(Skipped(run.folder, "repeat", detail))
        for row, seed in enumerate(run.seeds):
            taken.setdefault(seed, (run, row))
    order = sorted(taken)
    members = [taken[seed] for seed in order]
    updates, curves = _curves(members)
    metrics = dict.fromkeys(metric for run, _ in members for metric in run.final)
    return (
        Group(
            settings=label,
            replicas=tuple(
                Replica(run.folder, row, seed, run.status) for seed, (run, row) in zip(order, members, strict=True)
            ),
            final={
                metric: np.array([run.final[metric][row] if metric in run.final else np.nan for run, row in members])
                for metric in metrics
            },
            updates=updates,
            curves=curves,
        ),
        repeats,
    )


def _curves(members: Sequence[tuple[RunSummary, int]]) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Return the updates at which replicas have snapshots, [T], and their curves, tag -> [n, T]."""
    runs = {id(run): run for run, _ in members}
    stride = max(run.stride for run in runs.values())
    kept = {one: _kept(run, stride) for one, run in runs.items()}
    updates = np.unique(np.concatenate([run.updates[kept[one]] for one, run in runs.items()]))
    tags = dict.fromkeys(tag for run in runs.values() for tag in run.fields)
    curves = {tag: np.full((len(members), len(updates)), np.nan) for tag in tags}
    places = {one: np.searchsorted(updates, run.updates[kept[one]]) for one, run in runs.items()}
    for n, (run, row) in enumerate(members):
        gone = any(np.isinf(value[row]) for value in run.final.values())
        for f, tag in enumerate(run.fields):
            curves[tag][n, places[id(run)]] = run.curves[kept[id(run)], row, f]
            if gone and tag.startswith("loss/"):
                # from where it diverged, or the median of the others would fall
                curves[tag][n, places[id(run)].max(initial=-1) + 1 :] = np.inf
    return updates, curves


def _kept(run: RunSummary, stride: int) -> NDArray[np.bool_]:
    """Return which snapshots of a run are kept where others of its group have only one of `stride`."""
    kept: NDArray[np.bool_] = np.arange(len(run.updates)) % (stride // run.stride) == 0
    if stride > 1:
        kept[-1:] = run.status in ENDED
    return kept
