import json
import math
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from reluviz.cli.sweep import launchers, results, slurm
from reluviz.cli.sweep import monitor as monitor_module
from reluviz.cli.sweep.monitor import Monitor
from reluviz.cli.sweep.results import JobResult
from reluviz.cli.sweep.sweep import Sweep, run_overrides
from reluviz.errors import UserError
from reluviz.folder_lock import LOCK_FILE, FolderLock, is_locked
from reluviz.training.outcome import median_loss

LOCK_AND_DIE = (
    "import os, signal, sys; from pathlib import Path; from reluviz.folder_lock import FolderLock;"
    "FolderLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
)


def write(folder, name, content):
    """Write a file, as JSON unless the content is a text; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


# the state of a job


@pytest.mark.parametrize(
    ("files", "status", "reason", "loss"),
    [
        ({}, "missing", "", None),
        ({".hydra/x": ""}, "unfinished", "", None),
        ({"metrics.json": {"status": "finished", "loss/test": [3.0, 1.0, 2.5, 2.0]}}, "finished", "", 2.25),
        ({"metrics.json": {"status": "diverged", "loss/test": [None, 1.0]}}, "diverged", "", math.inf),
        ({"metrics.json": {"status": "finished", "loss/test": None, "loss/train": [5.0]}}, "finished", "", 5.0),
        ({"metrics.json": {"status": "interrupted", "loss/test": [1.0]}}, "interrupted", "", 1.0),
        ({"metrics.json": '{"status": "fin'}, "missing", "", None),
        ({"metrics.json": "[]"}, "missing", "", None),
        (
            {"failure.json": {"reason": "too wide"}, "metrics.json": {"status": "interrupted"}},
            "failed",
            "too wide",
            None,
        ),
    ],
    ids=["nothing", "begun", "finished", "diverged", "no_test", "interrupted", "torn", "no_object", "failed"],
)
def test_the_state_of_a_job_is_read_from_its_folder(tmp_path, files, status, reason, loss):
    for name, content in files.items():
        write((tmp_path / name).parent, Path(name).name, content)
    found = results.read_result(tmp_path)
    assert found == JobResult(tmp_path, status, reason, loss)
    assert found.done == (status in ("finished", "diverged"))


def test_the_median_of_an_even_number_of_replicas_lies_between_the_middle_two():
    assert median_loss({"loss/test": [1.0, 4.0]}) == 2.5
    assert median_loss({"loss/test": None, "loss/train": [None]}) == math.inf


# jobs in other processes


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs the parent of a process")
def test_a_job_exits_when_its_sweep_is_killed(tmp_path):
    child = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from reluviz.cli.sweep.parent_process import exit_with_parent\n"
        "from reluviz.folder_lock import FolderLock\n"
        "exit_with_parent(int(sys.argv[2]))\n"
        "with FolderLock(Path(sys.argv[1])):\n"
        "    time.sleep(60)\n"
    )
    parent = (
        "import os, subprocess, sys\n"
        "process = subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2], str(os.getpid())])\n"
        "print(process.pid, flush=True)\n"
        "process.wait()\n"
    )
    started = subprocess.Popen([sys.executable, "-c", parent, child, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with started:
        assert started.stdout is not None
        started.stdout.readline()
        while not is_locked(tmp_path):
            time.sleep(0.05)
        started.kill()
    deadline = time.monotonic() + 20
    while is_locked(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_locked(tmp_path)


def test_a_monitor_reports_each_job_once_and_knows_when_all_have_ended(tmp_path):
    folders = {3: tmp_path / "a", 5: tmp_path / "b"}
    reported = []
    monitor = Monitor(folders, lambda number, result: reported.append((number, result.status)))
    monitor.start()
    write(folders[5], "metrics.json", {"status": "finished", "loss/test": [1.0]})
    write(folders[3], "failure.json", {"reason": "x"})
    monitor.wait_until_settled()
    monitor.stop()
    assert sorted(reported) == [(3, "failed"), (5, "finished")]
    assert monitor.pending == {}


@pytest.mark.long
def test_a_monitor_waits_for_a_running_job_and_not_for_a_dead_one(tmp_path, monkeypatch):
    monkeypatch.setattr(monitor_module, "SETTLED_SECONDS", 2.5)
    running, dead = tmp_path / "running", tmp_path / "dead"
    dead.mkdir()
    assert subprocess.run([sys.executable, "-c", LOCK_AND_DIE, str(dead)]).returncode == -9
    assert (dead / LOCK_FILE).exists()
    running.mkdir()

    def job():
        with FolderLock(running):
            time.sleep(3.5)
            write(running, "metrics.json", {"status": "finished", "loss/test": [1.0]})

    thread = threading.Thread(target=job)
    thread.start()
    reported = []
    monitor = Monitor({0: running, 1: dead}, lambda number, result: reported.append((number, result.status)))
    monitor.start()
    monitor.wait_until_settled()
    monitor.stop()
    thread.join()
    assert reported == [(0, "finished")]
    assert list(monitor.pending) == [1]


def test_a_monitor_waits_while_the_scheduler_has_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(monitor_module, "SETTLED_SECONDS", 0.2)
    answers = [True, True, True, False]
    monitor = Monitor({0: tmp_path}, lambda number, result: None, lambda: answers.pop(0) if answers else False)
    monitor.wait_until_settled()
    assert answers == []


def test_the_jobs_of_a_sweep_are_listed_by_their_ids(tmp_path):
    queue = slurm.SweepJobs(tmp_path)
    assert queue.job_ids() == []
    assert not queue.has_jobs()
    for name in ("12_0", "12_1", "7", "notes"):
        (tmp_path / ".submitit" / name).mkdir(parents=True)
    assert queue.job_ids() == ["12", "7"]


def test_the_last_known_answer_is_returned_while_squeue_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.0)
    (tmp_path / ".submitit" / "12_0").mkdir(parents=True)
    squeue = tmp_path / "squeue"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    queue = slurm.SweepJobs(tmp_path)
    found = []
    for script in (
        "echo down >&2; exit 1",
        "echo 12_0",
        "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1",
        "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        "echo down >&2; exit 1",
    ):
        squeue.write_text(f"#!/bin/sh\n{script}\n")
        squeue.chmod(0o755)
        found.append(queue.has_jobs())
    assert found == [False, True, True, False, False]


# names and overrides of runs


def test_keys_of_the_sweep_are_not_part_of_a_run_s_identity():
    overrides = ["+exp=relu", "launcher=joblib", "sweeper=optuna", "sweep.resume=logs", "seed=1", "hydra.verbose=true"]
    assert run_overrides(overrides) == ["+exp=relu", "seed=1", "hydra.verbose=true"]


class ReplacingLauncher:
    """Receives a signal while it runs jobs, and raises an exception of its own in place of KeyboardInterrupt."""

    def __init__(self, number):
        self.number = number
        self.launches = 0

    def launch(self, jobs, initial_job_idx):
        self.launches += 1
        try:
            os.kill(os.getpid(), self.number)
            time.sleep(5)
        except KeyboardInterrupt:
            raise RuntimeError("a package replaced the interrupt") from None


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "terminated"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_an_interrupt_that_a_package_replaces_stops_the_sweep(tmp_path, number, terminated):
    before = [signal.signal(signal.SIGINT, signal.default_int_handler), signal.getsignal(signal.SIGTERM)]
    launcher, sweep = ReplacingLauncher(number), Sweep(tmp_path, [], "joblib", False, None, 1, 1)
    try:
        with pytest.raises(KeyboardInterrupt):
            sweep.run(launcher, [["seed=1"], ["seed=2"]])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is before[1]
    finally:
        signal.signal(signal.SIGINT, before[0])
    assert (launcher.launches, sweep.stopped, sweep.terminated) == (1, True, terminated)


def test_two_jobs_never_share_a_folder(tmp_path):
    sweep = Sweep(tmp_path, [], "none", False, None, 1, 1)
    with pytest.raises(UserError, match="two jobs of this sweep"):
        sweep.run(None, [["seed=1"], ["seed=1"]])


def test_the_printed_command_to_resume_a_sweep_names_its_folder_once(tmp_path, capsys, monkeypatch):
    from reluviz.cli import terminal

    monkeypatch.chdir(tmp_path)
    sweep = Sweep(tmp_path / "my sweep", [], "none", True, None, 1, 1)
    words = ["train", "-m", "+exp=relu", "name=a b", "hydra.sweep.dir=x y", "sweep.resume=my sweep", "seed=0,1"]
    terminal.print_sweep(
        sweep.folder, sweep.done_before, [JobResult(tmp_path / "seed-0", "unfinished")], True, 1.0, shlex.join(words)
    )
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("resume"))
    command = ["python", "-m", "reluviz", "train", "-m", "+exp=relu", "name=a b", "seed=0,1", "sweep.resume=my sweep"]
    assert shlex.split(line.removeprefix("resume")) == command


@pytest.mark.parametrize("package", ["hydra_plugins.nowhere", "nowhere", "nowhere.at.all"])
def test_a_choice_names_the_extra_that_it_needs(package, monkeypatch):
    monkeypatch.setitem(launchers.REQUIRED_PACKAGES, ("launcher", "ray"), package)
    assert launchers.missing_package("launcher", "ray") == "launcher=ray: needs python -m pip install 'reluviz[ray]'"
    assert launchers.missing_package("launcher", "none") is None
    assert launchers.missing_package("sweeper", "grid") is None


def test_the_extra_of_every_choice_exists():
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert {choice for _, choice in launchers.REQUIRED_PACKAGES} <= set(declared["optional-dependencies"])
