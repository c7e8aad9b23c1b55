"""Groups for the tests of reports, made of arrays or read from runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from reluviz.analysis import load_runs
from reluviz.analysis.report.groups import Group, Groups, Replica, Value

UPDATES_BETWEEN_SNAPSHOTS = 1000


def make_group(
    settings: Mapping[str, Value], n: int = 30, snapshots: int = 12, seed: int = 0, units: bool = True
) -> Group:
    """Return a group whose losses fall from about 1, to a different final loss for each replica."""
    random = np.random.default_rng(seed)
    updates = np.array(
        [0, 1, *range(UPDATES_BETWEEN_SNAPSHOTS, UPDATES_BETWEEN_SNAPSHOTS * snapshots, UPDATES_BETWEEN_SNAPSHOTS)]
    )[:snapshots]
    fall = np.exp(-updates / 3000)
    ends = 10 ** random.uniform(-3, -1, (n, 1))
    test = (ends + fall * random.uniform(0.5, 2, (n, 1))) * random.uniform(0.9, 1.1, (n, len(updates)))
    curves = {"loss/test": test, "loss/train": 1.25 * test}
    if units:
        dead = np.minimum(random.poisson(0.3, test.shape).cumsum(axis=1), 10).astype(float)
        linear = random.integers(0, 3, test.shape).astype(float)
        curves |= {"units/dead": dead, "units/linear": linear, "units/bent": 20 - dead - linear}
    final = {tag: curves[tag][:, -1].copy() for tag in ("loss/test", "loss/train")}
    replicas = tuple(Replica(Path("nowhere") / str(seed), row, 100 + row, "finished") for row in range(n))
    return Group(settings, replicas, final, updates, curves)


def diverge(group: Group, rows: Sequence[int], snapshot: int) -> Group:
    """Make some replicas of a group diverge at a snapshot; return the group."""
    for tag in group.final:
        group.curves[tag][rows, snapshot:] = np.nan
        group.final[tag][rows] = np.inf
    return group


def make_groups(*groups: Group) -> Groups:
    """Return the groups with the keys of the first one."""
    keys = tuple(groups[0].settings) if groups else ()
    return Groups((Path("logs/sweeps/today"),), groups, keys, (), len(groups))


def optimizer_groups(n: int = 30) -> Groups:
    """Return groups as those of exp=optimizers: three widths times three optimisers."""
    combinations = [(width, name) for width in (10, 20, 40) for name in ("sgd", "momentum", "adam")]
    return make_groups(
        *(
            make_group({"model.width": width, "optimizer": name}, n, seed=i)
            for i, (width, name) in enumerate(combinations)
        )
    )


def groups_of_runs(folder: Path, settings: Sequence[Mapping[str, Value]]) -> Groups:
    """Return a group for each run in a folder."""
    groups = []
    for run, chosen in zip(load_runs(folder), settings, strict=True):
        curves = {f"loss/{which}": run.loss(which).T for which in ("train", "test")}
        if run.model == "relu":
            status = enumerate(("dead", "linear", "bent"))
            curves |= {f"units/{name}": (run.unit_status == code).sum(axis=-1).T.astype(float) for code, name in status}
        replicas = tuple(Replica(run.folder, row, seed, str(run.status)) for row, seed in enumerate(run.seeds))
        final = {tag: curves[tag][:, -1] for tag in ("loss/train", "loss/test")}
        groups.append(Group(chosen, replicas, final, run.updates, curves))
    return Groups((folder,), tuple(groups), tuple(settings[0]), (), len(groups))
