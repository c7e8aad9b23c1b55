"""Runs that stop and are resumed: by the command line, in processes of their own, ended by real signals."""

import contextlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from benchmarks import crash
from numpy.typing import NDArray
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from reluviz import folder_lock
from reluviz.__main__ import main
from reluviz.analysis import load_run
from reluviz.core.functions import PARAMETERS
from reluviz.data import EarlySchedule
from reluviz.record.event_file import event_files, read_events
from reluviz.training.callbacks import Checkpoints
from reluviz.training.snapshot_queue import SnapshotQueue

COMMON = ["engine=reference", "callbacks=minimal", "trainer.precision=64-true"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="sends the signals of POSIX")
UPDATES, EVERY = 8000, 200
"""Of the runs that signals end; they take about two seconds."""


@dataclass(frozen=True)
class EndedRun:
    """A process that has ended, and the content of its folder at that time."""

    status: int
    out: str
    err: str
    folder: Path
    metrics: dict[str, Any] | None
    checkpoint: dict[str, Any] | None


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "reluviz", "train", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]", folder: Path) -> EndedRun:
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    metrics, last = folder / "metrics.json", folder / "checkpoints" / "last.ckpt"
    return EndedRun(
        process.returncode,
        out,
        err,
        folder,
        json.loads(metrics.read_text()) if metrics.exists() else None,
        torch.load(last, weights_only=True) if last.exists() else None,
    )


def train(folder: Path, *arguments: str) -> EndedRun:
    return finish(start(*arguments), folder)


def train_until(folder: Path, sent: int, update: int, *arguments: str) -> EndedRun:
    """Train, and send a signal as soon as the checkpoint of an update exists."""
    process = start(*arguments)
    awaited = folder / "checkpoints" / f"update-{update:09d}.ckpt"
    deadline = time.monotonic() + 120
    while not awaited.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if process.poll() is None:
        process.send_signal(sent)
    return finish(process, folder)


def parameters(metrics: dict[str, Any] | None) -> dict[str, NDArray[np.float64]]:
    assert metrics is not None
    return {name: np.array(metrics[name], dtype=np.float64) for name in PARAMETERS["relu"]}


def assert_same_parameters(a: dict[str, Any] | None, b: dict[str, Any] | None) -> None:
    for name, wanted in parameters(b).items():
        np.testing.assert_allclose(parameters(a)[name], wanted, rtol=0, atol=1e-12, err_msg=name)


def recorded(folder: Path) -> tuple[list[int], list[int], NDArray[np.float64]]:
    """Return the steps of loss/train and of reluviz/params, and the latter's values, as TensorBoard reads them."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    losses, states = events.Tensors("loss/train"), events.Tensors("reluviz/params")
    values = np.array([tensor_util.make_ndarray(event.tensor_proto) for event in states])
    return [event.step for event in losses], [event.step for event in states], values


# Prolonged


@pytest.fixture(scope="module")
def prolonged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[EndedRun, EndedRun, EndedRun]]:
    """Runs of 40 updates, the same runs prolonged to 80, and runs of 80 updates from the start."""
    base = tmp_path_factory.mktemp("prolonged")
    settings = [*COMMON, "updates=40,80", "snapshots.every=10", "callbacks.checkpoints.every=1"]
    kinds = {
        "momentum and step": ["optimizer=momentum", "scheduler=step", "scheduler.step_size=30"],
        "adam": ["optimizer=adam", "optimizer.lr=0.01"],
    }

    def make(kind: str) -> tuple[EndedRun, EndedRun, EndedRun]:
        sweep = base / kind.replace(" ", "-")
        short, long = sweep / "updates-40", sweep / "updates-80"
        swept = train(short, "-m", *settings, *kinds[kind], f"hydra.sweep.dir={sweep}")
        once = EndedRun(swept.status, swept.out, swept.err, long, json.loads((long / "metrics.json").read_text()), None)
        return swept, train(short, f"ckpt_path={short}", "updates=80"), once

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(kinds, pool.map(make, kinds), strict=True))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["momentum and step", "adam"])
def test_a_prolonged_run_equals_one_that_was_longer_from_the_start(
    prolonged: dict[str, tuple[EndedRun, EndedRun, EndedRun]], kind: str
) -> None:
    first, second, once = prolonged[kind]
    assert (first.status, second.status, first.err, second.err) == (0, 0, "", "")
    assert first.metrics is not None
    assert second.metrics is not None
    assert once.metrics is not None
    assert (first.metrics["updates"], second.metrics["updates"], once.metrics["updates"]) == (40, 80, 80)
    assert_same_parameters(second.metrics, once.metrics)
    assert np.abs(parameters(first.metrics)["bias"] - parameters(once.metrics)["bias"]).max() > 1e-6
    assert second.metrics["loss/test"] == pytest.approx(once.metrics["loss/test"], abs=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["momentum and step", "adam"])
def test_the_event_files_of_a_prolonged_run_hold_every_snapshot_once(
    prolonged: dict[str, tuple[EndedRun, EndedRun, EndedRun]], kind: str
) -> None:
    _, second, once = prolonged[kind]
    scalars, tensors, values = recorded(second.folder)
    assert scalars == tensors == EarlySchedule(10).schedule(80)
    np.testing.assert_allclose(values, recorded(once.folder)[2], rtol=0, atol=1e-12)


@pytest.mark.long
def test_a_run_can_be_resumed_from_an_earlier_checkpoint(
    prolonged: dict[str, tuple[EndedRun, EndedRun, EndedRun]], tmp_path: Path
) -> None:
    folder = tmp_path / "earlier"
    once = prolonged["momentum and step"][2]
    shutil.copytree(once.folder, folder)
    again = train(folder, f"ckpt_path={folder / 'checkpoints' / 'update-000000050.ckpt'}")
    assert (again.status, again.err) == (0, "")
    assert_same_parameters(again.metrics, once.metrics)
    scalars, tensors, values = recorded(folder)
    assert scalars == tensors == EarlySchedule(10).schedule(80)
    np.testing.assert_allclose(values, recorded(once.folder)[2], rtol=0, atol=1e-12)


# Ended by signals


@dataclass(frozen=True)
class Signalled:
    """A run that was never interrupted, one that was interrupted twice and resumed, one that was killed and resumed."""

    once: EndedRun
    interrupted: EndedRun
    terminated: EndedRun
    after: EndedRun
    killed: EndedRun
    after_killed: EndedRun


@contextlib.contextmanager
def not_ignored(sent: int) -> Iterator[None]:
    """Let child processes receive a signal that this process ignores, as a background job does."""
    before = signal.getsignal(sent)
    if before is signal.SIG_IGN:
        signal.signal(sent, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(sent, before)


@pytest.fixture(scope="module")
def signalled(tmp_path_factory: pytest.TempPathFactory) -> Signalled:
    base = tmp_path_factory.mktemp("signalled")
    a, b, c = base / "a", base / "b", base / "c"
    settings = [*COMMON, f"updates={UPDATES}", f"snapshots.every={EVERY}", "callbacks.checkpoints.every=1"]
    settings += ["optimizer=momentum", "optimizer.lr=0.01"]
    with not_ignored(signal.SIGINT), ThreadPoolExecutor(2) as pool:

        def twice() -> tuple[EndedRun, EndedRun, EndedRun]:
            first = train_until(a, signal.SIGINT, 2000, *settings, f"hydra.run.dir={a}")
            return first, train_until(a, signal.SIGTERM, 4600, f"ckpt_path={a}"), train(a, f"ckpt_path={a}")

        def killed() -> tuple[EndedRun, EndedRun]:
            often = "callbacks.checkpoints.seconds=0"
            first = train_until(b, signal.SIGKILL, 3000, *settings, often, f"hydra.run.dir={b}")
            return first, train(b, f"ckpt_path={b}")

        chains = pool.submit(twice), pool.submit(killed)
        once = pool.submit(train, c, *settings, f"hydra.run.dir={c}").result()
        return Signalled(once, *chains[0].result(), *chains[1].result())


def updates_of(ended: EndedRun) -> int:
    assert ended.checkpoint is not None
    return int(ended.checkpoint["state_dict"]["updates_done"])


@pytest.mark.long
@POSIX
@pytest.mark.parametrize(("how", "status"), [("interrupted", 130), ("terminated", 143)])
def test_a_signal_ends_a_run_with_one_line_a_valid_checkpoint_and_its_metrics(
    signalled: Signalled, how: str, status: int
) -> None:
    ended: EndedRun = getattr(signalled, how)
    assert ended.status == status
    assert ended.metrics is not None
    assert ended.metrics["status"] == how
    done = ended.metrics["updates"]
    assert ended.err == f"reluviz: {how} after update {done:,}\n"
    assert f"ckpt_path={ended.folder}" in ended.out
    # after a signal between a segment and its snapshot the checkpoint is one segment ahead
    assert updates_of(ended) - done in (0, EVERY)
    assert 0 < updates_of(ended) < UPDATES
    assert ended.checkpoint is not None
    saved = {name: ended.checkpoint["state_dict"][name].numpy() for name in PARAMETERS["relu"]}
    _, steps, wanted = recorded(signalled.once.folder)
    for update, found in ((done, parameters(ended.metrics)), (updates_of(ended), saved)):
        row = np.concatenate([value.reshape(1, -1) for value in found.values()], axis=1)
        np.testing.assert_allclose(row, wanted[steps.index(update)], rtol=0, atol=1e-12)


@pytest.mark.long
@POSIX
def test_a_run_that_was_killed_has_the_checkpoint_of_a_snapshot_and_no_metrics(signalled: Signalled) -> None:
    assert signalled.killed.status == -signal.SIGKILL
    assert signalled.killed.metrics is None
    assert updates_of(signalled.killed) in EarlySchedule(EVERY).schedule(UPDATES)
    assert 2800 <= updates_of(signalled.killed) < UPDATES


@pytest.mark.long
@POSIX
@pytest.mark.parametrize("after", ["after", "after_killed"])
def test_a_resumed_run_equals_one_that_was_never_interrupted(signalled: Signalled, after: str) -> None:
    ended: EndedRun = getattr(signalled, after)
    assert (ended.status, ended.err) == (0, "")
    assert ended.metrics is not None
    assert ended.metrics["status"] == "finished"
    assert_same_parameters(ended.metrics, signalled.once.metrics)
    assert signalled.once.metrics is not None
    assert ended.metrics["findings"] == signalled.once.metrics["findings"] != []


@pytest.mark.long
@POSIX
@pytest.mark.parametrize("after", ["after", "after_killed"])
def test_no_snapshot_is_missing_or_doubled_after_resuming(signalled: Signalled, after: str) -> None:
    scalars, tensors, values = recorded(getattr(signalled, after).folder)
    assert tensors == EarlySchedule(EVERY).schedule(UPDATES)
    assert scalars == tensors
    np.testing.assert_allclose(values, recorded(signalled.once.folder)[2], rtol=0, atol=1e-12)


# Refused


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`make_run(name, *overrides)`: the folder of a run of four updates, trained once."""
    base = tmp_path_factory.mktemp("runs")
    settings = ["callbacks=minimal", "updates=4", "snapshots.every=2"]

    def make(name: str, *overrides: str) -> Path:
        folder = base / name
        if not folder.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["reluviz", "train", *settings, *overrides, f"hydra.run.dir={folder}"])
                assert main() == 0
        return folder

    return make


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`refused(folder, *overrides)`: the one line of a refusal with exit status 2, which changes no file."""

    def refuse(place: Path, *overrides: str) -> str:
        folder = place if place.is_dir() else place.parent.parent
        before = contents(folder)
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["reluviz", "train", f"ckpt_path={place}", *overrides])
        assert main() == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("reluviz: ")
        assert err.count("\n") == 1
        assert contents(folder) == before
        return err

    return refuse


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=0.5"], "optimizer.lr=0.5: the run in .* has 0.02; only updates can change"),
        (["exp=linear"], "exp=linear: the run in .* has relu; only updates can change"),
        (["exp=relu", "model=linear"], "model=linear: the run in .* has relu; only updates can change"),
        (["seed=1"], "seed=1: the run in .* has 0; only updates can change"),
        (["+model.depth=3"], "model.depth=3: the run in .* has no such key; only updates can change"),
        (["~optimizer.lr"], "~optimizer.lr: the run in .*; only updates can change"),
        (["updates=2"], "has made 4 updates; a larger number prolongs it, as in updates=8"),
        (["updates=8.5"], "updates=8.5: must be a whole number of at least 1"),
        (["updates=lots"], "updates=lots: must be a whole number of at least 1"),
        (["updates=8,12"], "updates=8,12: holds several values; ckpt_path resumes a single run"),
        (["updates=[8]"], r"updates=\[8\]: must be a whole number of at least 1"),
        (["updates="], "updates=: must be a whole number of at least 1"),
        (["-m", "updates=8"], "resumes a single run; leave out -m"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_resumed_run_accepts_only_a_larger_number_of_updates(
    make_run: Callable[..., Path], refused: Callable[..., str], overrides: list[str], message: str
) -> None:
    assert re.search(message, refused(make_run("relu", "exp=relu"), *overrides))


def test_a_refusal_is_one_line_and_exit_status_2_of_the_process(make_run: Callable[..., Path]) -> None:
    folder = make_run("relu", "exp=relu")
    ended = train(folder, f"ckpt_path={folder}", "optimizer.lr=0.5", "updates=8")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"reluviz: optimizer.lr=0.5: the run in {folder} has 0.02; only updates can change\n"


def test_a_run_whose_schedule_depends_on_updates_cannot_be_prolonged(
    make_run: Callable[..., Path], refused: Callable[..., str]
) -> None:
    message = refused(make_run("cosine", "scheduler=cosine"), "updates=8")
    assert "updates=8: would change scheduler.T_max from 4 to 8" in message


OTHERS = {
    "constant in relu": ("relu", "constant"),
    "relu in constant": ("constant", "relu"),
    "linear in constant": ("constant", "linear"),
    "other width": ("relu", "narrow"),
    "other replicas": ("relu", "replicas"),
    "other layers": ("relu", "output"),
    "other optimiser": ("relu", "adam"),
    "other seed": ("relu", "seed"),
}
RUNS = {
    "relu": ["exp=relu"],
    "constant": ["model=constant"],
    "linear": ["model=linear"],
    "narrow": ["model.width=5"],
    "replicas": ["replicas=3"],
    "output": ["model.train=output"],
    "adam": ["optimizer=adam"],
    "seed": ["seed=8"],
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_checkpoint_of_another_run_is_refused(
    make_run: Callable[..., Path], refused: Callable[..., str], tmp_path: Path, case: str
) -> None:
    own, other = OTHERS[case]
    folder = tmp_path / "run"
    shutil.copytree(make_run(own, *RUNS[own]), folder)
    shutil.copy(make_run(other, *RUNS[other]) / "checkpoints" / "last.ckpt", folder / "checkpoints")
    assert f"ckpt_path={folder}" in refused(folder, "updates=8")


class CreatesFile:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no checkpoint"),
    "zeros within": lambda path: path.write_bytes(path.read_bytes()[:64] + bytes(400) + path.read_bytes()[464:]),
    "another object": lambda path: torch.save([1, 2], path),
    "an empty mapping": lambda path: torch.save({}, path),
    "code": lambda path: torch.save(CreatesFile(path.with_name("ran")), path),
    "pickle of code": lambda path: path.write_bytes(pickle.dumps(CreatesFile(path.with_name("ran")))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_and_its_code_not_run(
    make_run: Callable[..., Path], refused: Callable[..., str], tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(make_run("relu", "exp=relu"), folder)
    DAMAGES[damage](folder / "checkpoints" / "last.ckpt")
    message = refused(folder, "updates=8")
    assert f"ckpt_path={folder}: last.ckpt is not a checkpoint" in message
    assert not (folder / "checkpoints" / "ran").exists()


def test_a_path_that_is_not_a_run_is_refused(
    make_run: Callable[..., Path], refused: Callable[..., str], tmp_path: Path
) -> None:
    assert "no such file or folder" in refused(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "belongs to no run" in refused(empty)
    alone = tmp_path / "alone.ckpt"
    shutil.copy(make_run("relu", "exp=relu") / "checkpoints" / "last.ckpt", alone)
    assert "belongs to no run" in refused(alone)


@pytest.mark.parametrize("name", ["config.yaml", "hydra.yaml"])
@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe", b"", b"- 1"], ids=["no yaml", "no text", "empty", "a list"])
def test_damaged_settings_are_refused(
    make_run: Callable[..., Path], refused: Callable[..., str], tmp_path: Path, name: str, content: bytes
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(make_run("relu", "exp=relu"), folder)
    (folder / ".hydra" / name).write_bytes(content)
    assert "the run's settings in" in refused(folder, "updates=8")


def train_here(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["reluviz", "train", *words])
    return main()


OLD_FILES = {
    "semicolons": "x;y\n1,125;1,234\n2,250;-2,345\n3,375;3,456\n",
    "tabs": "x\ty\n1,125\t1,234\n2,250\t-2,345\n3,375\t3,456\n",
    "points": "x;y\n1.125;1.234\n2.250;-2.345\n3.375;3.456\n",
    "both": "x;y\n1.125;1,234\n2.250;-2.345\n3,375;3,456\n",
}


@pytest.mark.parametrize("text", OLD_FILES.values(), ids=OLD_FILES)
def test_a_run_of_0_2_0_on_numbers_like_1_234_is_resumed_with_the_numbers_that_it_read(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(text)
    words = ["+exp=relu", "model.width=3", "data=file", "data.path=a.csv", "sampler=full", *COMMON]
    assert train_here(monkeypatch, *words, "updates=20") == 2
    assert "data.path=a.csv: line" in capsys.readouterr().err
    assert train_here(monkeypatch, *words, "data.decimal=either", "updates=40", "hydra.run.dir=whole") == 0
    assert train_here(monkeypatch, *words, "data.decimal=either", "updates=20", "hydra.run.dir=run") == 0
    settings = Path("run/.hydra/config.yaml")
    # the settings of version 0.2.0 have no such keys
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(line for line in lines if line.split(":")[0] not in ("  x", "  y", "  decimal")))
    assert "decimal" not in settings.read_text()
    assert train_here(monkeypatch, "ckpt_path=run", "updates=40") == 0
    run, whole = load_run("run"), load_run("whole")
    assert run.data.x.tolist() == [1.125, 2.25, 3.375]
    assert run.data.y.tolist() == [1.234, -2.345, 3.456]
    assert run.updates[-1] == 40
    np.testing.assert_array_equal(run.rows[-1], whole.rows[-1])


@pytest.mark.parametrize("words", [[], ["updates=4"]])
def test_a_finished_run_needs_no_resuming(
    make_run: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    folder = make_run("relu", "exp=relu")
    before = contents(folder)
    assert train_here(monkeypatch, f"ckpt_path={folder}", *words) == 0
    out, err = capsys.readouterr()
    assert "finished: all 4 updates are made; a larger number prolongs it, as in updates=8" in out
    assert err == ""
    assert contents(folder) == before


COMPLETED = {
    "constant": ["exp=constant"],
    "linear": ["exp=linear"],
    "relu": ["exp=relu"],
    "ridge": ["exp=relu", "model.train=ridge"],
}


@pytest.mark.parametrize("name", COMPLETED)
def test_a_run_that_was_killed_before_its_metrics_were_written_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    words = [*COMPLETED[name], "updates=40", "snapshots.every=10", "callbacks.snapshots.pictures=3"]
    assert train_here(monkeypatch, *words, f"hydra.run.dir={whole}") == 0
    shutil.copytree(whole, killed)
    wanted = json.loads((killed / "metrics.json").read_text())
    (killed / "metrics.json").unlink()
    assert train_here(monkeypatch, f"ckpt_path={killed}") == 0
    found = json.loads((killed / "metrics.json").read_text())
    del wanted["seconds"], found["seconds"]
    assert found == wanted
    assert found["status"] == "finished"
    assert crash.content(killed) == crash.content(whole)


def test_a_run_without_a_checkpoint_starts_anew_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    words = ["+exp=relu", "updates=40", "snapshots.every=10", "callbacks.checkpoints=null", "model.width=3"]
    assert train_here(monkeypatch, *words, f"hydra.run.dir={whole}") == 0
    shutil.copytree(whole, run)
    capsys.readouterr()
    assert train_here(monkeypatch, f"ckpt_path={run}") == 0
    assert "finished: all 40 updates are made" in capsys.readouterr().out
    (run / "metrics.json").unlink()
    assert train_here(monkeypatch, f"ckpt_path={run}") == 0
    assert re.search("resume +.*run has no checkpoint: it starts anew", capsys.readouterr().out)
    assert crash.content(run) == crash.content(whole)


def test_without_last_ckpt_a_run_is_resumed_from_the_checkpoint_after_the_most_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["+exp=relu", "updates=40", "snapshots.every=10", "callbacks.checkpoints.every=1", "model.width=3"]
    assert train_here(monkeypatch, *words, f"hydra.run.dir={run}") == 0
    wanted = crash.content(run)
    for name in ("metrics.json", "checkpoints/last.ckpt", "checkpoints/update-000000040.ckpt"):
        (run / name).unlink()
    capsys.readouterr()
    assert train_here(monkeypatch, f"ckpt_path={run}") == 0
    assert "starts anew" not in capsys.readouterr().out
    assert crash.content(run) == wanted
    # it made only the updates after the newest checkpoint
    events = read_events(event_files(run)[-1])
    assert [event.step for event in events if event.HasField("session_log")] == [30]


def test_a_folder_whose_settings_are_incomplete_can_be_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    """Hydra writes config.yaml last, so a folder without it holds no run yet."""
    run = tmp_path / "run"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "hydra.yaml").write_text("hydra: {}")
    assert "belongs to no run (there is no .hydra/config.yaml" in refused(run)
    assert train_here(monkeypatch, "+exp=constant", "updates=5", f"hydra.run.dir={run}") == 0
    assert main() == 2


def test_config_yaml_is_the_last_of_the_settings_and_each_file_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    rename = os.replace

    def record(source: Any, target: Any) -> None:
        order.append(Path(target).name)
        if Path(target).suffix == ".yaml":
            assert yaml.safe_load(Path(source).read_text()) is not None
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.replace", record)
        assert train_here(monkeypatch, "+exp=constant", "updates=5", f"hydra.run.dir={tmp_path / 'run'}") == 0
    assert order[:3] == ["hydra.yaml", "overrides.yaml", "config.yaml"]


@POSIX
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_last_update_ends_the_run_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    def interrupted_compute(self: SnapshotQueue) -> None:
        if self._last_raw is not None and self._last_raw.update == 40:
            os.kill(os.getpid(), sent)
        draw(self)

    draw = SnapshotQueue.draw_vote_history
    monkeypatch.setattr(SnapshotQueue, "draw_vote_history", interrupted_compute)
    with not_ignored(signal.SIGINT):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            assert train_here(monkeypatch, "+exp=relu", "updates=40", f"hydra.run.dir={tmp_path / 'run'}") == 0
        finally:
            signal.signal(signal.SIGINT, before)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["status"] == "finished"


REMOVED: dict[str, tuple[Callable[[Path], object], str]] = {
    "the folder": (shutil.rmtree, "run: was removed or replaced"),
    "the folder, replaced": (lambda run: (run.rename(run.with_name("old")), run.mkdir()), "run: was removed or rep"),
    "event files": (lambda run: [path.unlink() for path in event_files(run)], "events.*: was removed or replaced"),
    "event files, replaced": (
        lambda run: [(path.unlink(), path.touch()) for path in event_files(run)],
        "events.*: was removed or replaced",
    ),
    "checkpoints": (lambda run: shutil.rmtree(run / "checkpoints"), "last.ckpt: was removed or replaced"),
    "checkpoint, replaced": (
        lambda run: (run / "checkpoints" / "last.ckpt").write_bytes(b"x"),
        "last.ckpt: was removed or replaced",
    ),
    "the lock, taken over": (
        lambda run: (run / ".lock").write_bytes(replace(folder_lock.Holder.this_process(), pid=7).text()),
        "run: process 7 on .* has taken over this folder",
    ),
    "the lock": (lambda run: (run / ".lock").unlink(), r"\.lock: was removed"),
}


@pytest.mark.parametrize("what", REMOVED)
def test_a_run_whose_files_are_removed_or_replaced_meanwhile_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    remove, message = REMOVED[what]
    run, snapshots = tmp_path / "run", 0
    save = Checkpoints._save

    def save_and_remove(self: Checkpoints, trainer: Any, name: str) -> None:
        nonlocal snapshots
        save(self, trainer, name)
        snapshots += 1
        if snapshots == 3:
            remove(run)

    monkeypatch.setattr(Checkpoints, "_save", save_and_remove)
    words = ["+exp=relu", "updates=400", "snapshots.every=10", "callbacks.checkpoints.seconds=0", "model.width=3"]
    capsys.readouterr()
    assert train_here(monkeypatch, *words, f"hydra.run.dir={run}") == 2
    err = capsys.readouterr().err
    assert re.fullmatch(rf"reluviz: .*{message}.*\n", err)
    if what == "the folder":
        assert not run.exists()
    assert not (run / "metrics.json").exists()


def test_code_that_stored_settings_name_is_not_run(
    make_run: Callable[..., Path], refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(make_run("relu", "exp=relu"), folder)
    (tmp_path / "mine.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = folder / ".hydra" / "config.yaml"
    for target in ("mine.Network", "os.system", "reluviz.files.write_json", "reluviz.__main__.main"):
        lines = settings.read_text().replace("reluviz.data.piecewise_linear", target)
        (folder / ".hydra" / "config.yaml").write_text(lines)
        line = refused(folder, "updates=8")
        assert f"code that is not reluviz's; if you trust it, add data._target_={target}" in line
        settings.write_text(lines.replace(target, "reluviz.data.piecewise_linear"))
    assert not (tmp_path / "ran").exists()
    # named on the command line, it is the user's own
    settings.write_text(settings.read_text().replace("reluviz.data.piecewise_linear", "mine.Network"))
    assert "there is no such class" in refused(folder, "updates=8", "data._target_=mine.Network")
    assert (tmp_path / "ran").exists()
