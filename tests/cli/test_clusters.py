"""Sweeps on real clusters on one machine: python -m pytest -m cluster -n 0 tests/cli/test_clusters.py

Needs root, the extras `slurm` and `ray`, and the packages that tests/cli/clusters/slurm.py names.
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
# some seconds for each run, so that a sweep can be stopped in the middle
LONG = ("updates=4000", "snapshots.every=1000", "engine=reference", *GRID)


def results(sweep: Path) -> dict[str, Any]:
    """Return the metrics of each job without times and versions."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(sweep.glob("*/metrics.json"))}
    return {name: {k: v for k, v in one.items() if k not in ("seconds", "versions")} for name, one in found.items()}


def finished(sweep: Path) -> list[str]:
    return [name for name, one in results(sweep).items() if one["status"] == "finished"]


def without_a_cluster(folder: Path, *words: str) -> dict[str, Any]:
    subprocess.run([*RELUVIZ, *words, "hydra.sweep.dir=local"], cwd=folder, check=True, capture_output=True)
    return results(folder / "local")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return without_a_cluster(tmp_path_factory.mktemp("short"), *SHORT)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return without_a_cluster(tmp_path_factory.mktemp("long"), *LONG)


@pytest.fixture(scope="module", params=list(CLUSTERS))
def launched(request: pytest.FixtureRequest) -> Iterator[tuple[str, Cluster]]:
    """A launcher and its cluster."""
    with TemporaryDirectory(prefix="cl") as folder, CLUSTERS[request.param](Path(folder)) as cluster:
        yield request.param, cluster
    assert not Path(f"/run/netns/{cluster.name}").exists()
    assert [one for one in cluster.daemons if one.poll() is None] == []


@pytest.fixture
def start_sweep(launched: tuple[str, Cluster], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a sweep on the cluster; all its processes end with the test."""
    launcher, cluster = launched
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
    """Wait until no job is queued and no process of a job is left; return False if that takes too long."""
    end = time.monotonic() + seconds
    while left := (launcher == "slurm" and queued(cluster)) or cluster.job_processes():
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


def running_jobs(cluster: Cluster, sweep: Path) -> dict[str, int]:
    """Return job folder -> id of a process that has an event file open there."""
    found: dict[str, int] = {}
    for pid in cluster.job_processes():
        try:
            paths = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        found |= {Path(path).parent.name: pid for path in paths if re.fullmatch(rf"{sweep}/[^/.]+/events.*", path)}
    return found


def test_a_sweep_on_a_cluster_gives_the_same_numbers(launched, start_sweep, short, tmp_path) -> None:  # type: ignore[no-untyped-def]
    process = start_sweep(*SHORT, "hydra.sweep.dir=sweep")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "24 finished in" in output
    # Lightning warns if srun is on the PATH
    assert "Warning" not in output
    assert sorted(short) == RUNS
    assert results(tmp_path / "sweep") == short


def test_a_job_that_is_killed_is_named_and_the_other_jobs_finish(launched, start_sweep, long, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "sweep"
    process = start_sweep(*LONG, "hydra.sweep.dir=sweep")
    wait_for(lambda: len(finished(folder)) >= 4, process)
    victim, pid = next(iter(wait_for(lambda: running_jobs(launched[1], folder), process).items()))
    os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == 2, output
    assert finished(folder) == [name for name in RUNS if name != victim]
    assert "23 finished" in output
    assert re.search(rf"{victim}: .*killed", output), output
    process = start_sweep(*LONG, "sweep.resume=sweep")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "24 finished (23 of them before)" in output
    assert results(folder) == long


def test_ctrl_c_leaves_no_process_and_the_sweep_can_be_resumed(launched, start_sweep, long, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "sweep"
    process = start_sweep(*LONG, "hydra.sweep.dir=sweep")
    wait_for(lambda: len(finished(folder)) >= 4 and running_jobs(launched[1], folder), process)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert idle(*launched)
    done = finished(folder)
    assert 4 <= len(done) < 24
    assert f"stopped: {len(done)} finished" in output
    assert "sweep.resume=sweep" in output
    assert "Traceback" not in output
    before = results(folder)
    process = start_sweep(*LONG, "sweep.resume=sweep")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert f"24 finished ({len(done)} of them before)" in output
    assert results(folder) == long
    assert {name: before[name] for name in done} == {name: long[name] for name in done}


def test_a_sweep_whose_process_was_killed_resumes_and_trains_no_run_twice(
    launched, start_sweep, long, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    launcher, cluster = launched
    folder = tmp_path / "sweep"
    process = start_sweep(*LONG, "hydra.sweep.dir=sweep")
    wait_for(lambda: len(finished(folder)) >= 4 and running_jobs(cluster, folder), process)
    process.kill()
    process.communicate()
    if launcher == "slurm":
        # its jobs continue, and must not be started a second time
        process = start_sweep(*LONG, "sweep.resume=sweep")
        output, _ = process.communicate()
        assert process.returncode == 2, output
        assert "still" in output
        cluster.run("scancel", "--user=root")
    assert idle(*launched)
    done = finished(folder)
    files = {name: (folder / name / "metrics.json").stat().st_mtime_ns for name in done}
    process = start_sweep(*LONG, "sweep.resume=sweep")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert f"24 finished ({len(done)} of them before)" in output
    assert results(folder) == long
    assert {name: (folder / name / "metrics.json").stat().st_mtime_ns for name in done} == files
