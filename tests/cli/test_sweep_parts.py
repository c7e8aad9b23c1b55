import json
import math
import os
import shlex
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from reluviz.cli.sweep import heartbeat, launchers, results, slurm
from reluviz.cli.sweep.monitor import Monitor
from reluviz.cli.sweep.results import JobResult
from reluviz.cli.sweep.sweep import Sweep, kept
from reluviz.errors import UserError
from reluviz.training.outcome import median_loss


def wrote(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


# how a job stands


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
def test_a_job_stands_as_its_folder_says(tmp_path, files, status, reason, loss):
    for name, content in files.items():
        wrote((tmp_path / name).parent, Path(name).name, content)
    found = results.read(tmp_path)
    assert found == JobResult(tmp_path, status, reason, loss)
    assert found.done == (status in ("finished", "diverged"))


def test_the_median_of_an_even_number_of_replicas_lies_between_the_middle_two():
    assert median_loss({"loss/test": [1.0, 4.0]}) == 2.5
    assert median_loss({"loss/test": None, "loss/train": [None]}) == math.inf


# signs of life


def test_a_pulse_beats_while_it_lasts_and_is_gone_afterwards(tmp_path):
    with heartbeat.heartbeat(tmp_path):
        assert heartbeat.beating([tmp_path, tmp_path / "none"]) == [tmp_path]
    assert heartbeat.last(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_pulse_that_a_killed_process_left_does_not_beat(tmp_path):
    (tmp_path / heartbeat.NAME).write_text("7")
    assert heartbeat.beating([tmp_path]) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes have no parents to lose here")
def test_a_job_whose_sweep_was_killed_ends(tmp_path):
    child = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from reluviz.cli.sweep.heartbeat import end_with, heartbeat\n"
        "end_with(int(sys.argv[2]))\n"
        "with heartbeat(Path(sys.argv[1])):\n"
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
        while heartbeat.last(tmp_path) is None:
            time.sleep(0.05)
        started.kill()
    assert heartbeat.beating([tmp_path], 3 * heartbeat.SECONDS) == []


# watching jobs elsewhere


def test_a_watch_tells_of_each_job_once_and_knows_when_all_have_ended(tmp_path):
    folders = {3: tmp_path / "a", 5: tmp_path / "b"}
    told = []
    watch = Monitor(folders, lambda number, ending: told.append((number, ending.status)))
    watch.start()
    wrote(folders[5], "metrics.json", {"status": "finished", "loss/test": [1.0]})
    wrote(folders[3], "failure.json", {"reason": "x"})
    watch.settle()
    watch.stop()
    assert sorted(told) == [(3, "failed"), (5, "finished")]
    assert watch.open == {}


def test_a_watch_waits_for_a_job_that_lives_and_gives_up_one_that_died(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "PATIENCE", 2.5)
    lives, died = tmp_path / "lives", tmp_path / "died"
    wrote(died, heartbeat.NAME, "4")
    lives.mkdir()

    def job():
        with heartbeat.heartbeat(lives):
            time.sleep(3.5)
            wrote(lives, "metrics.json", {"status": "finished", "loss/test": [1.0]})

    thread = threading.Thread(target=job)
    thread.start()
    told = []
    watch = Monitor({0: lives, 1: died}, lambda number, ending: told.append((number, ending.status)))
    watch.start()
    watch.settle()
    watch.stop()
    thread.join()
    assert told == [(0, "finished")]
    assert list(watch.open) == [1]


def test_a_watch_waits_while_the_scheduler_holds_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "PATIENCE", 0.2)
    answers = [True, True, True, False]
    watch = Monitor({0: tmp_path}, lambda number, ending: None, lambda: answers.pop(0) if answers else False)
    watch.settle()
    assert answers == []


def test_the_queue_knows_the_numbers_of_its_jobs_and_is_empty_without_any(tmp_path):
    queue = slurm.Queue(tmp_path)
    assert queue.ids() == []
    assert not queue.holds()
    for name in ("12_0", "12_1", "7", "notes"):
        (tmp_path / ".submitit" / name).mkdir(parents=True)
    assert queue.ids() == ["12", "7"]


def test_a_scheduler_that_does_not_answer_has_not_forgotten_the_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "BETWEEN", 0.0)
    (tmp_path / ".submitit" / "12_0").mkdir(parents=True)
    says = tmp_path / "squeue"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    queue = slurm.Queue(tmp_path)
    found = []
    for script in (
        "echo down >&2; exit 1",
        "echo 12_0",
        "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1",
        "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        "echo down >&2; exit 1",
    ):
        says.write_text(f"#!/bin/sh\n{script}\n")
        says.chmod(0o755)
        found.append(queue.holds())
    assert found == [False, True, True, False, False]


# names and identity


def test_how_a_sweep_is_run_is_no_part_of_a_runs_identity():
    given = ["+exp=relu", "launcher=joblib", "sweeper=optuna", "sweep.resume=logs", "seed=1", "hydra.verbose=true"]
    assert kept(given) == ["+exp=relu", "seed=1", "hydra.verbose=true"]


def test_two_jobs_never_share_a_folder(tmp_path):
    sweep = Sweep(tmp_path, [], "none", False, None, 1, 1)
    with pytest.raises(UserError, match="two jobs of this sweep"):
        sweep.run(None, [["seed=1"], ["seed=1"]])


def test_the_command_that_goes_on_names_the_folder_once_whatever_it_is_called(tmp_path, capsys, monkeypatch):
    from reluviz.cli import terminal

    monkeypatch.chdir(tmp_path)
    sweep = Sweep(tmp_path / "my sweep", [], "none", True, None, 1, 1)
    words = ["train", "-m", "+exp=relu", "name=a b", "hydra.sweep.dir=x y", "sweep.resume=my sweep", "seed=0,1"]
    terminal.sweep(
        sweep.folder, sweep.before, [JobResult(tmp_path / "seed-0", "unfinished")], True, 1.0, shlex.join(words)
    )
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("go on"))
    command = ["python", "-m", "reluviz", "train", "-m", "+exp=relu", "name=a b", "seed=0,1", "sweep.resume=my sweep"]
    assert shlex.split(line.removeprefix("go on")) == command


@pytest.mark.parametrize("package", ["hydra_plugins.nowhere", "nowhere", "nowhere.at.all"])
def test_a_choice_says_what_it_needs(package, monkeypatch):
    monkeypatch.setitem(launchers.NEEDS, ("launcher", "ray"), package)
    assert launchers.missing("launcher", "ray") == "launcher=ray: needs python -m pip install 'reluviz[ray]'"
    assert launchers.missing("launcher", "none") is None
    assert launchers.missing("sweeper", "grid") is None


def test_every_extra_of_a_choice_exists():
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert {choice for _, choice in launchers.NEEDS} <= set(declared["optional-dependencies"])
