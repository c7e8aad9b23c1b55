"""Presets of launchers, and sweeps on several processes of this computer; clusters are in test_clusters.py."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from reluviz.cli import config
from reluviz.cli.sweep.launchers import REQUIRED_PACKAGES, missing_package

ROOT = Path(__file__).parents[2]
TRAIN = [sys.executable, "-m", "reluviz", "train", "-m", "+exp=relu", "callbacks=minimal"]
GRID = ["model.width=5,10", "seed=range(4)"]
TWO = ["launcher=joblib", "hydra.launcher.n_jobs=2"]
NAMES = sorted(f"width-{width}_seed-{seed}" for width in (5, 10) for seed in range(4))


def results(sweep):
    """Return the metrics of each job without the times."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(sweep.glob("*/metrics.json"))}
    return {name: {k: v for k, v in one.items() if k != "seconds"} for name, one in found.items()}


def start(folder, *words):
    return subprocess.Popen(
        [*TRAIN, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def alive(group):
    """Return whether a process group has a process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("launcher", [choice for choice in config.choices("launcher") if choice != "none"])
def test_a_preset_composes_for_its_launcher_and_has_an_extra(launcher):
    extras = re.search(r"optional-dependencies\]\n(.*?)\n\n", (ROOT / "pyproject.toml").read_text(), re.S)
    assert extras is not None
    assert re.search(rf"^{launcher} = \[", extras[1], re.M)
    assert ("launcher", launcher) in REQUIRED_PACKAGES
    if message := missing_package("launcher", launcher):
        pytest.skip(message)
    cfg = config.compose_checked(["+exp=relu", f"launcher={launcher}", "hydra.sweep.dir=/x"])
    assert str(cfg.hydra.launcher._target_).startswith(REQUIRED_PACKAGES["launcher", launcher])


@pytest.mark.parametrize(
    ("launcher", "key", "wanted"),
    [
        ("joblib", "batch_size", "1"),
        ("slurm", "submitit_folder", "/x/.submitit/%j"),
        ("slurm", "partition", None),
        ("ray", "ray.init.address", "auto"),
        ("ray", "ray.init.object_store_memory", None),
        ("ray", "ray.remote.max_retries", 0),
    ],
)
def test_a_preset_sets_the_values_that_a_sweep_needs(launcher, key, wanted):
    if message := missing_package("launcher", launcher):
        pytest.skip(message)
    cfg = config.compose_checked(["+exp=relu", f"launcher={launcher}", "hydra.sweep.dir=/x"])
    # the null must be there: without it the Ray launcher asks for a size of memory, which a running cluster refuses
    *path, last = key.split(".")
    node = OmegaConf.select(cfg.hydra.launcher, ".".join(path)) if path else cfg.hydra.launcher
    assert last in node
    assert node[last] == wanted


@pytest.mark.long
def test_two_processes_and_a_pool_of_one_give_the_same_numbers_as_one_process(tmp_path):
    short = ["updates=300", "snapshots.every=100", *GRID]
    processes = {"one": start(tmp_path, *short, "hydra.sweep.dir=one")}
    processes["two"] = start(tmp_path, *short, *TWO, "hydra.sweep.dir=two")
    # as on a computer with one core, where joblib runs the jobs in the main process
    processes["pool"] = start(tmp_path, *short, "launcher=joblib", "hydra.launcher.n_jobs=1", "hydra.sweep.dir=pool")
    for process in processes.values():
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
        assert "8 finished in" in output
    assert sorted(results(tmp_path / "one")) == NAMES
    assert results(tmp_path / "two") == results(tmp_path / "pool") == results(tmp_path / "one")


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_leaves_no_process_and_keeps_the_runs_that_had_ended(tmp_path, jobs):
    sweep = tmp_path / "sweep"
    pool = ["launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
    process = start(
        tmp_path, "updates=3000", "snapshots.every=1000", "engine=reference", *GRID, *pool, "hydra.sweep.dir=sweep"
    )
    end = time.monotonic() + 120
    while len(results(sweep)) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    # communicate has read to the end, so no process has the pipe open; one could still run with the pipe closed
    end = time.monotonic() + 20
    while alive(process.pid):
        assert time.monotonic() < end
        time.sleep(0.1)
    finished = [name for name, one in results(sweep).items() if one["status"] == "finished"]
    assert 2 <= len(finished) < 8
    assert f"stopped: {len(finished)} finished" in output
    assert "sweep.resume=sweep" in output
    assert "Traceback" not in output


PAGE = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^.*python -m reluviz train (-m .*)$", PAGE, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_on_sweeps_can_be_composed(command):
    words = shlex.split(command)[1:]
    launcher = next((word.partition("=")[2] for word in words if word.startswith("launcher=")), "none")
    if message := missing_package("launcher", launcher):
        pytest.skip(message)
    config.compose_checked(words)


def test_the_page_on_sweeps_lists_every_launcher():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.M) == ["none", "joblib", "slurm", "ray"]
    assert sorted(config.choices("launcher")) == ["joblib", "none", "ray", "slurm"]


def test_a_measured_table_replaces_the_earlier_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.launchers import fill

    page = tmp_path / "sweeps.md"
    page.write_text(PAGE, encoding="utf-8")
    for found in ("| old |", "| new \\1 |"):
        fill(page, found)
    before, after = PAGE.split("<!-- launchers -->\n")[0], PAGE.split("<!-- end -->")[1]
    assert page.read_text(encoding="utf-8") == f"{before}<!-- launchers -->\n| new \\1 |\n<!-- end -->{after}"
