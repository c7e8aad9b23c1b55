"""`last` stands for the newest run or sweep below ./logs, wherever the folder of one is expected."""

import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from reluviz.__main__ import main
from reluviz.analysis import last, load_run, load_runs
from reluviz.errors import UserError

NO_RUN = "last: there is no run below logs; make a run with: python -m reluviz train +exp=relu"
NO_SWEEP = "last: there is no sweep below logs; make a sweep with: python -m reluviz train -m +exp=relu seed=0,1,2"
SMALL = ("+exp=relu", "updates=20", "callbacks=minimal")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def event(seconds: float, content: bytes = b"reluviz/data") -> bytes:
    """The first record of an event file; its checksums are zeros."""
    data = b"\x09" + struct.pack("<d", seconds) + content
    return struct.pack("<Q", len(data)) + bytes(4) + data + bytes(4)


def make_run(folder: str, *seconds: float, content: bytes = b"reluviz/data") -> str:
    """Make the event files of a run that started at the first of these times and was resumed at the remaining ones."""
    path = Path("logs", folder)
    path.mkdir(parents=True, exist_ok=True)
    for number, second in enumerate(seconds):
        name = f"events.out.tfevents.{int(second):010d}.host.1.{number}"
        (path / name).write_bytes(event(second, content))
    return str(path)


def make_sweep(folder: str, **jobs: float) -> str:
    for name, seconds in jobs.items():
        make_run(f"{folder}/{name}", seconds)
    path = Path("logs", folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / "multirun.yaml").touch()
    return str(path)


# Which run


def test_the_last_run_is_the_one_that_started_last_and_names_of_folders_do_not_count() -> None:
    make_run("relu/2030-01-01_00-00-00", 1000)
    newest = make_run("linear/2020-01-01_00-00-00", 3000)
    make_run("a", 2000)
    assert last.run_folder("last") == newest
    assert last.run_folder(Path("last")) == newest


def test_a_resumed_run_keeps_its_first_start() -> None:
    make_run("resumed", 1000, 5000)
    newer = make_run("newer", 2000)
    assert last.run_folder("last") == newer


def test_times_of_files_do_not_count() -> None:
    newest = make_run("newest", 2000)
    make_run("copied", 1000)
    os.utime("logs/newest", (0, 0))
    assert last.run_folder("last") == newest


def test_runs_that_started_in_the_same_second_are_ordered_by_their_first_events() -> None:
    make_run("b", 1000.25)
    newest = make_run("a", 1000.75)
    make_run("c", 1000.5)
    assert last.run_folder("last") == newest


def test_a_job_of_a_sweep_is_a_run() -> None:
    make_run("relu/1", 1000)
    make_sweep("sweeps/1", first=2000, second=2001)
    assert last.run_folder("last") == "logs/sweeps/1/second"


def test_folders_of_a_run_and_of_a_report_hold_no_runs() -> None:
    newest = make_run("relu/1", 1000)
    make_run("relu/1/checkpoints/x", 2000)
    make_run("relu/1/.hydra/x", 2000)
    make_run("relu/aggregate/group", 2000)
    Path("logs/relu/aggregate/.reluviz-report").touch()
    assert last.run_folder("last") == newest
    named_report = make_run("report/1", 3000)
    assert last.run_folder("last") == named_report


def test_runs_of_other_programs_do_not_count() -> None:
    newest = make_run("relu/1", 1000)
    make_run("other", 2000, content=b"loss")
    assert last.run_folder("last") == newest


def test_a_run_that_train_started_counts_before_it_has_recorded_anything() -> None:
    make_run("relu/1", 1000)
    begun = make_run("relu/2", 2000, content=b"brain.Event:2")
    (Path(begun) / ".hydra").mkdir()
    assert last.run_folder("last") == begun


def test_a_run_without_a_logger_started_when_its_configuration_was_written() -> None:
    make_run("relu/1", time.time() - 1000)
    path = Path("logs/relu/2")
    for name in (".hydra", "checkpoints"):
        (path / name).mkdir(parents=True)
    (path / ".hydra" / "config.yaml").touch()
    assert last.run_folder("last") == str(path)
    os.utime(path / ".hydra" / "config.yaml", (10, 10))
    assert last.run_folder("last") == "logs/relu/1"


def test_damaged_and_empty_event_files_are_skipped() -> None:
    newest = make_run("relu/1", 1000)
    for number, content in enumerate([b"", b"\0" * 5, os.urandom(300), event(float("nan"), b"")]):
        path = Path(f"logs/odd/{number}")
        path.mkdir(parents=True)
        (path / f"events.out.tfevents.{2000 + number}.host").write_bytes(content)
    Path("logs/odd/folder/events.out.tfevents.3000").mkdir(parents=True)
    Path("logs/odd/nameless").mkdir()
    Path("logs/odd/nameless/events.out.tfevents.x").write_bytes(event(float("inf")))
    assert last.run_folder("last") == newest
    Path("logs/odd/nameless/events.out.tfevents.x").write_bytes(event(1001))
    assert last.run_folder("last") == "logs/odd/nameless"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_symbolic_links_are_followed_and_loops_end() -> None:
    make_run("relu/1", 1000)
    newest = Path("other_disk/2")
    newest.mkdir(parents=True)
    (newest / "events.out.tfevents.2000.host").write_bytes(event(2000))
    Path("logs/linked").symlink_to(Path("other_disk").absolute())
    Path("logs/loop").symlink_to(Path("logs").absolute())
    Path("logs/lost").symlink_to("nowhere")
    Path("logs/self").symlink_to("self")
    assert last.run_folder("last") == "logs/linked/2"


def test_the_last_of_2000_runs_is_found_within_2_seconds() -> None:
    for number in range(2000):
        make_run(f"sweeps/{number // 100}/{number}", 1000 + number)
    started = time.perf_counter()
    assert last.run_folder("last") == "logs/sweeps/19/1999"
    assert time.perf_counter() - started < 2


# Which sweep


def test_the_last_sweep_is_the_one_whose_first_job_started_last() -> None:
    make_sweep("sweeps/1", a=1000, b=9000)
    newest = make_sweep("sweeps/2", a=3000, b=3001)
    make_sweep("mine/3", a=2000)
    make_run("relu/1", 9999)
    os.utime("logs/sweeps/2/multirun.yaml", (10, 10))
    assert last.sweep_folder("last") == newest


def test_a_sweep_without_jobs_started_when_its_configuration_was_written() -> None:
    make_sweep("sweeps/1", a=1000)
    newest = make_sweep("sweeps/2")
    assert last.sweep_folder("last") == newest


# A folder named last, and no run at all


def test_a_folder_named_last_takes_precedence() -> None:
    make_run("relu/1", 1000)
    Path("last").mkdir()
    assert last.run_folder("last") == last.sweep_folder("last") == "last"
    with pytest.raises(UserError, match=r"^last: holds no run"):
        load_run("last")


@pytest.mark.parametrize("given", ["./last", "logs/last", "LAST", "last/"])
def test_other_paths_are_returned_unchanged(given: str) -> None:
    assert last.run_folder(given) == last.sweep_folder(given) == given


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["view", "last"], NO_RUN),
        (["export", "last", "--html"], NO_RUN),
        (["train", "ckpt_path=last"], NO_RUN),
        (["report", "last"], NO_SWEEP),
        (["train", "-m", *SMALL, "seed=0,1", "sweep.resume=last"], NO_SWEEP),
    ],
)
@pytest.mark.parametrize("logs", [True, False])
def test_without_a_run_or_sweep_the_verbs_print_one_line_and_exit_with_status_2(
    words: list[str], message: str, logs: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if logs:
        Path("logs/relu").mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["reluviz", *words])
    assert main() == 2
    assert capsys.readouterr() == ("", f"reluviz: {message}\n")
    assert list(Path().iterdir()) == [Path("logs")] * logs


def test_without_a_run_loading_raises_the_same_line() -> None:
    for load in (load_run, load_runs):
        with pytest.raises(UserError) as refusal:
            load("last")
        assert str(refusal.value) == NO_RUN


def test_finding_the_last_run_imports_neither_torch_nor_hydra_nor_tensorboard() -> None:
    code = (
        "import sys; from reluviz.analysis import last; from reluviz.analysis.report import arguments;"
        "import reluviz.cli.view, reluviz.analysis.export.arguments;"
        "sys.exit(bool({'torch', 'lightning', 'hydra', 'tensorboard', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The verbs, with real runs


def reluviz(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words])
        return main()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, then a sweep of two jobs, then another run, in ./logs."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert reluviz("train", *SMALL, "hydra.run.dir=logs/relu/z") == 0
        assert reluviz("train", "-m", *SMALL, "seed=0,1", "hydra.sweep.dir=logs/sweeps/s") == 0
        assert reluviz("train", *SMALL, "hydra.run.dir=logs/relu/a") == 0
    return folder


@pytest.fixture
def in_trained(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


@pytest.mark.usefixtures("in_trained")
def test_load_run_and_load_runs_load_the_last_run() -> None:
    assert load_run("last").folder == Path("logs/relu/a")
    assert load_run("last").name == "a"
    assert [run.folder for run in load_runs("last")] == [Path("logs/relu/a")]


@pytest.mark.usefixtures("in_trained")
def test_view_names_the_folder_that_it_shows(
    view_process: Callable[..., AbstractContextManager[tuple[subprocess.Popen[str], str]]],
) -> None:
    pattern = r"reluviz: TensorBoard on http://localhost:\d+/ shows the last run, (\S+) \(Ctrl-C stops it\)\n"
    with view_process("last", "--port", "0") as (_, line):
        assert (found := re.fullmatch(pattern, line)) is not None
        assert found[1] == str(Path("logs/relu/a"))


@pytest.mark.usefixtures("in_trained")
def test_export_names_files_after_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert reluviz("export", "last", "logs/relu/z", "--csv", "--out", "tables") == 0
    files = [Path(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert files == [Path("tables/a.csv"), Path("tables/z.csv")]


@pytest.mark.usefixtures("in_trained")
def test_report_describes_the_last_sweep(capfd: pytest.CaptureFixture[str]) -> None:
    assert reluviz("report", "last", "--pictures", "none") == 0
    assert (Path("logs") / "sweeps" / "s" / "report" / "report.html").is_file()
    assert "logs/sweeps/s/report" in capfd.readouterr().out.replace("\\", "/")


@pytest.mark.usefixtures("in_trained")
def test_train_resumes_the_last_run_and_the_last_sweep(capfd: pytest.CaptureFixture[str]) -> None:
    folder = str(Path("logs/relu/a"))
    assert reluviz("train", "ckpt_path=last", "updates=1") == 2
    assert capfd.readouterr().err.startswith(f"reluviz: ckpt_path={folder}: has made 20 updates")
    assert reluviz("train", "ckpt_path=last", "updates=40") == 0
    assert re.search(rf"^folder +{re.escape(folder)}$", capfd.readouterr().out, re.M)
    assert load_run("last").updates[-1] == 40
    (Path("logs/sweeps/s/seed-1") / "metrics.json").unlink()
    assert reluviz("train", "-m", *SMALL, "seed=0,1", "sweep.resume=last") == 0
    assert (Path("logs/sweeps/s/seed-1") / "metrics.json").is_file()
    assert "2 finished (1 of them before)" in capfd.readouterr().out
    # the resumed runs keep their first start
    assert load_run("last").folder == Path("logs/relu/a")


@pytest.mark.parametrize("verb", ["view", "export", "report", "train"])
def test_help_mentions_last(verb: str) -> None:
    done = subprocess.run([sys.executable, "-m", "reluviz", verb, "--help"], capture_output=True, text=True, check=True)
    assert re.search(r"\blast (for|stands for) the newest|\blast: the newest", " ".join(done.stdout.split()))
