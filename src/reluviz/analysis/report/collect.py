"""Read runs on all cores and group them by the settings that vary, with each seed once in a group.

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

from reluviz.analysis.progress import progress_line
from reluviz.analysis.report.find_runs import HOW_TO_MAKE_RUNS, find_runs
from reluviz.analysis.report.groups import Group, Groups, ListedRun, Replica, Value
from reluviz.analysis.report.labels import label_sort_key, varying_settings
from reluviz.analysis.report.run_summary import ENDED, RunSummary, read_run
from reluviz.errors import UserError
from reluviz.record.tags import is_loss

MAX_VALUES = 30_000_000
"""About how many values of all curves together are kept in memory."""
MIN_VALUES_PER_RUN = 600
"""Values kept of each run, however many runs there are."""
MIN_RUNS_FOR_PROCESSES = 300
"""Fewer runs than this are read faster in this process than other processes start."""
RUNS_PER_TASK = 25
"""Runs sent to a process at once."""

ReadRun = tuple[RunSummary | None, ListedRun | None]


def collect(folders: Sequence[Path]) -> Groups:
    """Return the groups of all runs at or below some folders, and the runs that are listed separately.

    Raises:
        UserError: if a folder does not exist or holds no run.
    """
    with progress_line("reading runs") as show:
        read = []
        found = find_runs(folders)
        for result in _read_runs(found):
            read.append(result)
            show(len(read), len(found))
    runs = [run for run, _ in read if run is not None]
    listed_runs = [listed for _, listed in read if listed is not None]
    count = sum(run is not None or listed is not None for run, listed in read)
    if not count:
        raise UserError(f"{folders[0]}: there are no runs of reluviz at or below it; {HOW_TO_MAKE_RUNS}")
    if not runs:
        return Groups(tuple(folders), (), (), tuple(listed_runs), count)
    varying = varying_settings([run.settings for run in runs])
    grouped: dict[tuple[tuple[str, Value], ...], list[RunSummary]] = defaultdict(list)
    for run, settings in zip(runs, varying.labels, strict=True):
        grouped[tuple(settings.items())].append(run)
    groups = []
    for label in sorted(grouped, key=lambda label: label_sort_key(dict(label))):
        group, repeats = _group(dict(label), grouped[label])
        listed_runs += repeats
        groups.append(group)
    return Groups(
        folders=tuple(folders),
        groups=tuple(groups),
        keys=varying.keys,
        listed_runs=tuple(sorted(listed_runs, key=lambda listed: listed.folder)),
        runs=count,
        solved=all(run.settings.leaves.get("model.train") == "ridge" for run in runs)
        and all(len(group.replicas) == 1 for group in groups)
        and len({replica.seed for group in groups for replica in group.replicas}) == 1,
    )


def _read_runs(found: Sequence[Path]) -> Iterator[ReadRun]:
    """Yield what was read of each run, in the given order, by several processes if there are many runs."""
    max_values = max(MIN_VALUES_PER_RUN, MAX_VALUES // max(1, len(found)))
    read_one = partial(read_run, max_values=max_values)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(found) < MIN_RUNS_FOR_PROCESSES or cores == 1:
        yield from map(read_one, found)
        return
    # spawn works on every system, and in a process with threads
    with ProcessPoolExecutor(min(cores, 8), get_context("spawn")) as pool:
        yield from pool.map(read_one, found, chunksize=RUNS_PER_TASK)


def _group(label: Mapping[str, Value], runs: Sequence[RunSummary]) -> tuple[Group, list[ListedRun]]:
    """Return the group of runs that share a label, and each run that repeats a seed of another run.

    Among runs with the same seed the first one that ended counts, or the first one if none ended.

    Args:
        label: the settings of the group.
        runs: its runs, in the order of their paths.
    """
    members_by_seed: dict[int, tuple[RunSummary, int]] = {}
    repeats = []
    for run in sorted(runs, key=lambda run: run.status not in ENDED):
        repeated = [seed for seed in run.seeds if seed in members_by_seed]
        if repeated:
            folder = members_by_seed[repeated[0]][0].folder
            shown = ", ".join(map(str, repeated[:6])) + ", ..." * (len(repeated) > 6)
            detail = f"seed{'s' * (len(repeated) > 1)} {shown}: counted once, as in {folder}"
            repeats.append(ListedRun(run.folder, "repeat", detail))
        for row, seed in enumerate(run.seeds):
            members_by_seed.setdefault(seed, (run, row))
    order = sorted(members_by_seed)
    members = [members_by_seed[seed] for seed in order]
    updates, curves = _curves(members)
    metrics = dict.fromkeys(metric for run, _ in members for metric in run.final)
    return (
        Group(
            settings=label,
            replicas=tuple(
                Replica(run.folder, row, seed, run.status, run.became[row])
                for seed, (run, row) in zip(order, members, strict=True)
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
    """Return the updates of the curves, [T], and the curves, tag -> [n, T].

    The updates are those at which any of the replicas has a snapshot, without those that a run has passed without one
    because it has another schedule: there the quartiles would be of fewer replicas than before and after. (With
    very many values, when only some of the snapshots are kept, all updates are.)
    """
    runs = {id(run): run for run, _ in members}
    stride = max(run.stride for run in runs.values())
    kept = {key: _kept_snapshots(run, stride) for key, run in runs.items()}
    updates = np.unique(np.concatenate([run.updates[kept[key]] for key, run in runs.items()]))
    if stride == 1:
        for run in runs.values():
            updates = updates[np.isin(updates, run.updates) | (updates > run.updates.max(initial=-1))]
        kept = {key: np.isin(run.updates, updates) for key, run in runs.items()}
    tags = dict.fromkeys(tag for run in runs.values() for tag in run.fields)
    curves = {tag: np.full((len(members), len(updates)), np.nan) for tag in tags}
    positions = {key: np.searchsorted(updates, run.updates[kept[key]]) for key, run in runs.items()}
    for replica, (run, row) in enumerate(members):
        diverged = any(np.isinf(value[row]) for value in run.final.values())
        for field, tag in enumerate(run.fields):
            curves[tag][replica, positions[id(run)]] = run.curves[kept[id(run)], row, field]
            if diverged and is_loss(tag):
                # infinite after it diverged; if it were missing, the median would fall
                curves[tag][replica, positions[id(run)].max(initial=-1) + 1 :] = np.inf
    return updates, curves


def _kept_snapshots(run: RunSummary, stride: int) -> NDArray[np.bool_]:
    """Return which snapshots of a run to keep, [T], so that all runs of the group have one in `stride`."""
    kept: NDArray[np.bool_] = np.arange(len(run.updates)) % (stride // run.stride) == 0
    if stride > 1:
        kept[-1:] = run.status in ENDED
    return kept
