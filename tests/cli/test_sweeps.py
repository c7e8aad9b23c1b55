import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from reluviz.__main__ import main
from reluviz.analysis import load_run
from reluviz.folder_lock import LOCK_FILE, FolderLock
from reluviz.training.callbacks import SnapshotLogger
from reluviz.training.outcome import median_loss

pytestmark = pytest.mark.long

COMMAND = [sys.executable, "-m", "reluviz"]
TINY = ("updates=40", "snapshots.every=20", "callbacks=minimal")


def reluviz(*words):
    """Run the command line in this process, and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words])
        return main()


def sweep_of(folder):
    """Return the folder of the only sweep below a folder."""
    (found,) = (folder / "logs" / "sweeps").iterdir()
    return found


def results(sweep):
    """Return the metrics of each job of a sweep without the times."""
    found = {}
    for path in sorted(sweep.glob("*/metrics.json")):
        found[path.parent.name] = json.loads(path.read_text())
        del found[path.parent.name]["seconds"]
    return found


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


# the same start for all jobs


def test_optimizers_start_from_the_same_weights_and_draw_the_same_minibatches(tmp_path, monkeypatch):
    from reluviz.data.samplers import WithReplacement

    drawn = []
    draw = WithReplacement.draw

    def recorded_draw(self, seeds, start, stop, samples, *fill):
        found = draw(self, seeds, start, stop, samples, *fill)
        drawn[-1] |= {(seed, start): one.tobytes() for seed, one in zip(seeds, found, strict=True)}
        return found

    begin = SnapshotLogger.on_train_start
    monkeypatch.setattr(SnapshotLogger, "on_train_start", lambda *args: (drawn.append({}), begin(*args))[1])
    monkeypatch.setattr(WithReplacement, "draw", recorded_draw)
    assert reluviz("train", "-m", "+exp=optimizers", *TINY, "snapshots=linear") == 0
    sweep = sweep_of(tmp_path)
    runs = {path.name: load_run(path) for path in sorted(sweep.glob("*/")) if path.is_dir()}
    assert sorted(runs) == sorted(f"width-{w}_optimizer-{o}" for w in (10, 20, 40) for o in ("sgd", "momentum", "adam"))
    for width in (10, 20, 40):
        starts = [runs[f"width-{width}_optimizer-{one}"].rows[0] for one in ("sgd", "momentum", "adam")]
        assert starts[0].shape == (30, 3 * width + 1)
        assert all(np.array_equal(starts[0], other) for other in starts[1:])
        ends = [runs[f"width-{width}_optimizer-{one}"].rows[-1] for one in ("sgd", "momentum", "adam")]
        assert not np.array_equal(ends[0], ends[1])
    assert len(drawn) == 9
    # segments start at updates 0, 1 and 20
    assert set(drawn[0]) == {(seed, start) for seed in range(30) for start in (0, 1, 20)}
    assert sum(map(len, drawn[0].values())) == 30 * 40 * 40 * 8
    assert all(other == drawn[0] for other in drawn[1:])


@pytest.mark.long
def test_the_memory_of_ended_jobs_is_released(tmp_path, monkeypatch):
    alive = []
    begin = SnapshotLogger.on_train_start

    def counted(*args):
        gc.collect()
        alive.append(sum(isinstance(one, JobReturn) for one in gc.get_objects()))
        begin(*args)

    monkeypatch.setattr(SnapshotLogger, "on_train_start", counted)
    assert reluviz("train", "-m", "+exp=linear", *TINY, "seed=range(6)") == 0
    # only its own result and that of the job before it
    assert len(alive) == 6
    assert max(alive) <= 2


# failures


def test_a_job_that_cannot_be_run_writes_the_reason_to_its_folder(tmp_path, capsys):
    words = ["-m", "+exp=relu", *TINY, "sampler=epoch", "sampler.batch_size=40,500"]
    assert reluviz("train", *words) == 2
    sweep = sweep_of(tmp_path)
    failure = json.loads((sweep / "batch_size-500" / "failure.json").read_text())
    assert failure["reason"].startswith("sampler.batch_size=500: more than the 200 points there are")
    assert "sampler.batch_size=500" in failure["overrides"]
    assert sorted(results(sweep)) == ["batch_size-40"]
    assert "1 finished, 1 failed in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["optimizer=sgd,addam"], "optimizer=addam: must be one of adam, adamw, momentum, nesterov, rmsprop, sgd"),
        (["step_size=interval(0.1,1)"], "step_size=interval(0.1,1): an interval needs sweeper=optuna"),
        (
            ["seed=0,1", "hydra.sweep.subdir=x"],
            "hydra.sweep.subdir: leave it out; folders are named after",
        ),
        (["seed=0,1", "sweep.resume=nowhere"], "sweep.resume=nowhere: there is no such folder"),
        (["seed=0,1", "sweep.resume=empty"], "sweep.resume=empty: holds no sweep (no multirun.yaml)"),
        (["seed=0,1", "sweep.resume=a,b"], "sweep.resume=a,b: is for the sweep as a whole; give it one value"),
        (["seed=0,1", "launcher=none,joblib"], "launcher=none,joblib: is for the sweep as a whole; give it one value"),
        (["seed=0,1", "sweep.trials=0"], "sweep.trials=0: must be a whole number of at least 1"),
        (["sweeper=optuna"], "sweeper=optuna: needs something to search, as in 'step_size=tag(log,interval(1e-3,1))'"),
        (
            ["sweeper=optuna", "step_size=interval(1,0.1)"],
            "step_size=interval(1,0.1): `low <= high` must hold",
        ),
    ],
    ids=[
        "choice",
        "interval",
        "subdir",
        "nowhere",
        "empty",
        "two_folders",
        "launchers",
        "trials",
        "nothing_searched",
        "bounds",
    ],
)
def test_a_wrong_sweep_is_refused_before_its_first_job(tmp_path, capsys, words, line):
    (tmp_path / "empty").mkdir()
    assert reluviz("train", "-m", "+exp=relu", *TINY, *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"reluviz: {line}")
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("logs/**/metrics.json"))


# stopping and resuming

LONG = ("+exp=relu", "callbacks=minimal", "callbacks.checkpoints.seconds=0", "seed=0,1,2", "updates=300000")


def start(folder, *words):
    return subprocess.Popen(
        [*COMMAND, "train", "-m", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(found, seconds=60.0):
    """Wait until a function returns something true, and return it."""
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return answer


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The results of a sweep that nothing interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with start(folder, *LONG) as process:
        _, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    return results(sweep_of(folder))


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_a_sweep_that_is_stopped_and_resumed_has_the_same_results_as_an_uninterrupted_one(tmp_path, uninterrupted, how):
    with start(tmp_path, *LONG) as process:
        wait_for(lambda: list(tmp_path.glob("logs/sweeps/*/seed-1/checkpoints/last.ckpt")))
        os.killpg(process.pid, how)
        out, err = process.communicate(timeout=60)
    assert process.returncode == {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143}[how.name]
    sweep = sweep_of(tmp_path)
    first = (sweep / "seed-0" / "metrics.json").read_bytes()
    assert not (sweep / "seed-2").exists()
    if how != signal.SIGKILL:
        assert "stopped: 1 finished, 2 not finished" in out
        assert f"sweep.resume=logs/sweeps/{sweep.name}" in out
        assert json.loads((sweep / "seed-1" / "metrics.json").read_text())["status"] != "finished"
    events = {path: path.stat().st_size for path in sweep.glob("seed-1/events*")}
    with start(tmp_path, *LONG, f"sweep.resume={sweep.relative_to(tmp_path)}") as process:
        out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    assert "3 finished (1 of them before) in" in out
    assert results(sweep) == uninterrupted
    # the finished run did not change, and the resumed one wrote a second event file
    assert (sweep / "seed-0" / "metrics.json").read_bytes() == first
    assert len(list(sweep.glob("seed-0/events*"))) == 1
    assert len(list(sweep.glob("seed-1/events*"))) == len(events) + 1
    assert load_run(sweep / "seed-1").updates.tolist() == load_run(sweep / "seed-0").updates.tolist()
    assert not list(sweep.glob(f"*/{LOCK_FILE}"))


def test_a_resumed_sweep_runs_the_missing_and_the_failed_jobs(tmp_path, capsys):
    words = ("train", "-m", "+exp=linear", *TINY, "seed=0,1,2")
    assert reluviz(*words) == 0
    sweep = sweep_of(tmp_path)
    expected = results(sweep)
    untouched = (sweep / "seed-0" / "metrics.json").stat().st_mtime_ns
    (sweep / "seed-1" / "metrics.json").unlink()
    (sweep / "seed-2" / "failure.json").write_text('{"overrides": [], "reason": "the disk was full"}')
    capsys.readouterr()
    assert reluviz(*words, f"sweep.resume={sweep}") == 0
    assert "3 finished (1 of them before)" in capsys.readouterr().out
    assert results(sweep) == expected
    assert (sweep / "seed-0" / "metrics.json").stat().st_mtime_ns == untouched
    assert not (sweep / "seed-2" / "failure.json").exists()
    # nothing remains to be run
    assert reluviz(*words, f"sweep.resume={sweep}") == 0
    assert "3 finished (3 of them before)" in capsys.readouterr().out


def test_a_sweep_cannot_be_resumed_with_different_settings(tmp_path, capsys):
    assert reluviz("train", "-m", "+exp=linear", *TINY, "seed=0,1", "step_size=0.5") == 0
    sweep = sweep_of(tmp_path)
    before = results(sweep)
    capsys.readouterr()
    for words, why in [
        (["step_size=0.25"], "seed-0 was run with step_size=0.5"),
        (["step_size=0.5", "data.noise=0"], "seed-0 was run without data.noise=0"),
    ]:
        assert reluviz("train", "-m", "+exp=linear", *TINY, "seed=0,1", *words, f"sweep.resume={sweep}") == 2
        assert capsys.readouterr().err == f"reluviz: sweep.resume={sweep}: {why}; resume with the same command\n"
    assert results(sweep) == before


@pytest.mark.parametrize(
    "left", [pytest.param("", id="empty", marks=pytest.mark.long), pytest.param("- seed", id="torn")]
)
def test_a_job_that_was_killed_while_hydra_wrote_its_files_is_run_again(tmp_path, capsys, left):
    words = ("train", "-m", "+exp=linear", *TINY, "seed=0,1")
    assert reluviz(*words) == 0
    sweep = sweep_of(tmp_path)
    expected = results(sweep)
    # as after a kill -9: Hydra writes the overrides last, and not atomically
    for path in (sweep / "seed-1").iterdir():
        if path.name != ".hydra":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (sweep / "seed-1" / ".hydra" / "overrides.yaml").write_text(left)
    assert reluviz(*words, f"sweep.resume={sweep}") == 0
    assert "2 finished (1 of them before)" in capsys.readouterr().out
    assert results(sweep) == expected


def test_a_sweep_cannot_be_resumed_over_different_keys(tmp_path, capsys):
    assert reluviz("train", "-m", "+exp=linear", *TINY, "seed=0,1") == 0
    sweep = sweep_of(tmp_path)
    capsys.readouterr()
    for words in (["seed=0"], ["seed=0,1", "data.noise=0,0.1"]):
        assert reluviz("train", "-m", "+exp=linear", *TINY, *words, f"sweep.resume={sweep}") == 2
        why = "seed-0 is of a sweep over other keys; resume with the same command"
        assert capsys.readouterr().err == f"reluviz: sweep.resume={sweep}: {why}\n"
    assert sorted(results(sweep)) == ["seed-0", "seed-1"]


def test_a_single_run_cannot_resume_a_sweep(tmp_path, capsys):
    assert reluviz("train", "+exp=linear", *TINY, "sweep.resume=logs") == 2
    assert capsys.readouterr().err.startswith("reluviz: sweep.resume=logs: resumes a sweep, and needs -m;")
    assert not list(tmp_path.iterdir())


def test_a_sweep_cannot_be_resumed_while_slurm_has_jobs_of_it(tmp_path, capsys, monkeypatch):
    words = ("train", "-m", "+exp=linear", *TINY, "seed=0,1")
    assert reluviz(*words) == 0
    sweep = sweep_of(tmp_path)
    (sweep / "seed-1" / "metrics.json").unlink()
    (sweep / ".submitit" / "12_0").mkdir(parents=True)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "squeue").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/queue\n')
    (programs / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "queue").write_text("12_1\n")
    capsys.readouterr()
    assert reluviz(*words, f"sweep.resume={sweep}") == 2
    assert "Slurm still has jobs of it, 12; wait, or scancel them" in capsys.readouterr().err
    assert "--jobs=12" in (tmp_path / "asked").read_text()
    (tmp_path / "queue").write_text("")
    assert reluviz(*words, f"sweep.resume={sweep}") == 0


def test_a_sweep_cannot_be_resumed_while_it_is_running(tmp_path, capsys):
    assert reluviz("train", "-m", "+exp=linear", *TINY, "seed=0,1") == 0
    sweep = sweep_of(tmp_path)
    capsys.readouterr()
    with FolderLock(sweep / "seed-1"):
        assert reluviz("train", "-m", "+exp=linear", *TINY, "seed=0,1", f"sweep.resume={sweep}") == 2
    assert "1 of its jobs are still running, such as seed-1" in capsys.readouterr().err


def test_a_resumed_sweep_with_more_values_runs_the_new_jobs(tmp_path, capsys):
    assert reluviz("train", "-m", "+exp=linear", *TINY, "seed=0,1") == 0
    sweep = sweep_of(tmp_path)
    assert reluviz("train", "-m", "+exp=linear", *TINY, "seed=0,1,2", f"sweep.resume={sweep}") == 0
    assert sorted(results(sweep)) == ["seed-0", "seed-1", "seed-2"]


def test_a_run_of_a_sweep_has_the_same_results_as_the_run_alone(tmp_path):
    assert reluviz("train", "-m", "+exp=relu", *TINY, "seed=3,4") == 0
    swept = results(sweep_of(tmp_path))["seed-3"]
    assert reluviz("train", "+exp=relu", *TINY, "seed=3", "hydra.run.dir=alone") == 0
    alone = json.loads(Path("alone/metrics.json").read_text())
    del alone["seconds"]
    assert swept == alone
    assert "sweep" not in load_run("alone").settings


# searching

STEP = "step_size=tag(log,interval(1e-3,1))"


@pytest.mark.long
def test_a_search_finds_a_step_size_close_to_the_best_of_a_grid(tmp_path, capsys):
    short = ("+exp=relu", "updates=500", "snapshots.every=500", "callbacks=minimal", "replicas=3")
    grid = np.geomspace(1e-3, 1, 20)
    words = ",".join(f"{value:.6g}" for value in grid)
    assert reluviz("train", "-m", *short, f"step_size={words}", "hydra.sweep.dir=grid") == 0
    losses = {name: median_loss(found) for name, found in results(Path("grid")).items()}
    best = float(min(losses, key=losses.get).partition("-")[2])
    assert reluviz("train", "-m", *short, "sweeper=optuna", STEP, "sweep.trials=20", "hydra.sweep.dir=search") == 0
    found = json.loads(Path("search/best.json").read_text())
    step = float(found["overrides"][-1].partition("=")[2])
    assert found["trials"] == len(results(Path("search"))) == 20
    assert 0.5 <= step / best <= 2
    assert found["loss"] <= min(losses.values()) * 1.05
    assert f"best    step_size={step:g}: loss " in capsys.readouterr().out
    assert found["overrides"][:-1] == list(short)


@pytest.mark.long
def test_a_resumed_search_continues_to_the_new_number_of_trials(tmp_path, capsys):
    words = ["train", "-m", "+exp=linear", *TINY, "sweeper=optuna", STEP, "optimizer=sgd,momentum"]
    assert reluviz(*words, "sweep.trials=3") == 0
    sweep = sweep_of(tmp_path)
    first = results(sweep)
    assert len(first) == 3
    assert reluviz(*words, "sweep.trials=5", "sweep.together=2", f"sweep.resume={sweep}") == 0
    assert json.loads((sweep / "best.json").read_text())["trials"] == 5
    assert len(results(sweep)) == 5
    assert {name: results(sweep)[name] for name in first} == first
    assert {OmegaConf.load(sweep / name / ".hydra/config.yaml").optimizer.lr for name in results(sweep)} == {
        float(name.split("step_size-")[1].split("_")[0]) for name in results(sweep)
    }


@pytest.mark.long
def test_a_search_that_was_killed_and_resumed_has_the_same_number_of_trials(tmp_path):
    words = ["+exp=relu", "callbacks=minimal", "updates=20000", "sweeper=optuna", STEP, "sweep.trials=5"]
    sweep = tmp_path / "search"
    for ended in (1, 3):
        where = ["sweep.resume=search"] if sweep.exists() else ["hydra.sweep.dir=search"]
        with start(tmp_path, *words, *where) as process:
            wait_for(lambda ended=ended: len(results(sweep)) >= ended and list(sweep.glob(f"*/{LOCK_FILE}")))
            process.kill()
            process.communicate()
    before = results(sweep)
    with (sweep / "study.log").open("ab") as journal:
        # after a power cut the last line may be incomplete
        journal.write(b'{"op_code": 6, "wor')
    with start(tmp_path, *words, "sweep.resume=search") as process:
        out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    found = results(sweep)
    assert len(found) == json.loads((sweep / "best.json").read_text())["trials"] == 5
    assert {name: found[name] for name in before} == before
    assert re.search(r"sweep +5 finished \([34] of them before\)", out)


def test_a_damaged_journal_of_a_search_is_refused(tmp_path, capsys):
    words = ["train", "-m", "+exp=linear", *TINY, "sweeper=optuna", STEP, "sweep.trials=2"]
    assert reluviz(*words, "hydra.sweep.dir=search") == 0
    (tmp_path / "search" / "study.log").write_text("no line of Optuna's\n" * 3)
    capsys.readouterr()
    assert reluviz(*words, "sweep.resume=search") == 2
    assert re.match(r"reluviz: .*study\.log: is damaged; [^\n]*\n$", capsys.readouterr().err)


@pytest.mark.long
def test_a_search_with_diverging_trials_finds_one_that_converges(tmp_path):
    words = ["+exp=linear", "updates=50", "callbacks=minimal", "sweeper=optuna", "sweep.trials=12"]
    assert reluviz("train", "-m", *words, "step_size=tag(log,interval(0.01,100))", "seed=1") == 0
    statuses = {found["status"] for found in results(sweep_of(tmp_path)).values()}
    assert statuses == {"finished", "diverged"}
    best = json.loads((sweep_of(tmp_path) / "best.json").read_text())
    assert best["loss"] < 0.5


@pytest.mark.parametrize(
    ("words", "expected"), [((), "Linear"), pytest.param(("snapshots=early",), "Early", marks=pytest.mark.long)]
)
def test_a_resumed_sweep_keeps_the_snapshot_schedule_it_started_with(tmp_path, words, expected):
    command = ("train", "-m", "+exp=linear", *TINY, *words, "seed=0,1,2")
    assert reluviz(*command) == 0
    sweep = sweep_of(tmp_path)
    for config in sorted(sweep.glob("*/.hydra/config.yaml")):
        # as a version with another default would have left it
        config.write_text(config.read_text().replace("reluviz.data.Early", "reluviz.data.Linear"))
    # one job was killed at its end, and one had not started
    (sweep / "seed-1" / "metrics.json").unlink()
    shutil.rmtree(sweep / "seed-2")
    assert reluviz(*command, f"sweep.resume={sweep}") == 0
    for job in ("seed-1", "seed-2"):
        stored = OmegaConf.load(sweep / job / ".hydra" / "config.yaml")
        assert stored.snapshots == {"_target_": f"reluviz.data.{expected}", "every": 20}
        assert json.loads((sweep / job / "metrics.json").read_text())["status"] == "finished"
    assert load_run(sweep / "seed-2").settings["snapshots"] == expected
    schedule = {"Linear": [0, 1, 20, 40], "Early": [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 40]}[expected]
    assert load_run(sweep / "seed-2").updates.tolist() == schedule
