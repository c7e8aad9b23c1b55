"""Sweeps on real clusters of one machine: python -m pytest -m cluster -n 0 tests/cli/test_clusters.py

Needs root, the extras `slurm` and `ray`, and what tests/cli/clusters/slurm.py names.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from clusters.cluster import Cluster
from clusters.ray_cluster import ray_cluster
from clusters.slurm import queued, slurm_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CLUSTERS = {"slurm": slurm_cluster, "ray": ray_cluster}
RELUVIZ = (sys.executable, "-m", "reluviz", "train", "-m", "+exp=relu", "callbacks=minimal")
GRID = ("model.width=5,10", "seed=range(12)")
RUNS = sorted(f"width-{width}_seed-{seed}" for width in (5, 10) for seed in range(12))
SHORT = ("updates=300", "snapshots.every=100", *GRID)
# some seconds each, so that there is a middle
LONG = ("updates=4000", "snapshots.every=1000", "engine=reference", *GRID)


def results(sweep: Path) -> dict[str, Any]:
    """Return what each job found, apart from how long it took and by which versions."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(sweep.glob("*/metrics.json"))}
    return {name: {k: v for k, v in one.items() if k not in ("seconds", "versions")} for name, one in found.items()}


def finished(sweep: Path) -> list[str]:
    return [name for name, one in results(sweep).items() if one["status"] == "finished"]


def in_this_process(folder: Path, *words: str) -> dict[str, Any]:
    subprocess.run([*RELUVIZ, *words, "hydra.sweep.dir=here"], cwd=folder, check=True, capture_output=True)
    return results(folder / "here")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_this_process(tmp_path_factory.mktemp("short"), *SHORT)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_this_process(tmp_path_factory.mktemp("long"), *LONG)


@pytest.fixture(scope="module", params=list(CLUSTERS))
def where(request: pytest.FixtureRequest) -> Iterator[tuple[str, Cluster]]:
    """A launcher and its cluster."""
    with TemporaryDirectory(prefix="cl") as folder, CLUSTERS[request.param](Path(folder)) as cluster:
        yield request.param, cluster
    assert not Path(f"/run/netns/{cluster.name}").exists()
    assert [one for one in cluster.daemons if one.poll() is None] == []


@pytest.fixture
def sweep(where: tuple[str, Cluster], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a sweep on the cluster; whatever is left of it ends with the test."""
    launcher, cluster = where
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        started.append(cluster.start(*RELUVIZ, f"launcher={launcher}", *words, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    if launcher == "slurm":
        cluster.run("scancel", "--user=root")
    idle(launcher, cluster)


def idle(launcher: str, cluster: Cluster, seconds: float = 40.0) -> bool:
    """Return whether, within some time, nothing is queued and no process of a job is left."""
    end = time.monotonic() + seconds
    while left := (launcher == "slurm" and queued(cluster)) or cluster.guests():
        if time.monotonic() > end:
            print(left)
            return False
        time.sleep(0.2)
    return True


def wait_for(found: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 200.0) -> Any:
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)
    return answer


def at_work(cluster: Cluster, sweep: Path) -> dict[str, int]:
    """Return the job folders in which a process has files open, and which."""
    found: dict[str, int] = {}
    for pid in cluster.guests():
        try:
            paths = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        found |= {Path(path).parent.name: pid for path in paths if re.fullmatch(rf"{sweep}/[^/.]+/events.*", path)}
    return found


def test_a_sweep_on_a_cluster_finds_the_same_numbers(where, sweep, short, tmp_path) -> None:  # type: ignore[no-untyped-def]
    process = sweep(*SHORT, "hydra.sweep.dir=there")
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "24 finished in" in said
    # Lightning has a word for whoever has srun on the PATH
    assert "Warning" not in said
    assert sorted(short) == RUNS
    assert results(tmp_path / "there") == short


def test_a_job_that_is_killed_takes_no_other_with_it_and_is_named(where, sweep, long, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "there"
    process = sweep(*LONG, "hydra.sweep.dir=there")
    wait_for(lambda: len(finished(folder)) >= 4, process)
    victim, pid = next(iter(wait_for(lambda: at_work(where[1], folder), process).items()))
    os.kill(pid, signal.SIGKILL)
    said, _ = process.communicate()
    assert process.returncode == 2, said
    assert finished(folder) == [name for name in RUNS if name != victim]
    assert "23 finished" in said
    assert re.search(rf"{victim}: .*killed", said), said
    process = sweep(*LONG, "sweep.resume=there")
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "24 finished (23 of them before)" in said
    assert results(folder) == long


def test_ctrl_c_leaves_nothing_behind_and_the_sweep_goes_on_later(where, sweep, long, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "there"
    process = sweep(*LONG, "hydra.sweep.dir=there")
    wait_for(lambda: len(finished(folder)) >= 4 and at_work(where[1], folder), process)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert idle(*where)
    whole = finished(folder)
    assert 4 <= len(whole) < 24
    assert f"stopped: {len(whole)} finished" in said
    assert "sweep.resume=there" in said
    assert "Traceback" not in said
    before = results(folder)
    process = sweep(*LONG, "sweep.resume=there")
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert f"24 finished ({len(whole)} of them before)" in said
    assert results(folder) == long
    assert {name: before[name] for name in whole} == {name: long[name] for name in whole}


def test_a_sweep_whose_process_is_killed_goes_on_and_does_no_run_twice(where, sweep, long, tmp_path) -> None:  # type: ignore[no-untyped-def]
    launcher, cluster = where
    folder = tmp_path / "there"
    process = sweep(*LONG, "hydra.sweep.dir=there")
    wait_for(lambda: len(finished(folder)) >= 4 and at_work(cluster, folder), process)
    process.kill()
    process.communicate()
    if launcher == "slurm":
        # its jobs run on, and nobody is to begin them a second time
        process = sweep(*LONG, "sweep.resume=there")
        said, _ = process.communicate()
        assert process.returncode == 2, said
        assert "still" in said
        cluster.run("scancel", "--user=root")
    assert idle(*where)
    whole = finished(folder)
    files = {name: (folder / name / "metrics.json").stat().st_mtime_ns for name in whole}
    process = sweep(*LONG, "sweep.resume=there")
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert f"24 finished ({len(whole)} of them before)" in said
    assert results(folder) == long
    assert {name: (folder / name / "metrics.json").stat().st_mtime_ns for name in whole} == files
