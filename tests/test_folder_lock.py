"""The lock of a folder: who holds it, when it counts, and what a process does that has lost it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from reluviz import ReLUModule, SineData, SnapshotLogger, folder_lock
from reluviz.errors import UserError
from reluviz.files import atomic_write
from reluviz.folder_lock import FolderLock, FolderLocked, Holder, is_locked, locked, process_start, refusal
from reluviz.record.event_file import EventFile
from reluviz.record.reader import is_run
from reluviz.training.lightning_startup import quiet

HOLD = (
    "import sys, time; from pathlib import Path; from reluviz.folder_lock import FolderLock;"
    "FolderLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock of tmp_path."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def write_lock(folder: Path, age: float = 0.0, **fields: Any) -> Path:
    """Write a lock file that differs from one of this process in some fields, renewed `age` seconds ago."""
    file = folder / ".lock"
    content = json.loads(Holder.this_process().text()) | fields
    file.write_text(json.dumps(content))
    renewed = file.stat().st_mtime - age
    os.utime(file, (renewed, renewed))
    return file


def test_a_lock_is_a_file_that_names_its_holder_and_is_removed_at_its_end(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        found = json.loads((tmp_path / ".lock").read_text())
        assert found["pid"] == os.getpid()
        assert found["machine"] == folder_lock.socket.gethostname()
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        assert is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not is_locked(tmp_path)


def test_a_second_process_is_refused_in_one_line_that_names_the_first(
    tmp_path: Path, other_process: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(FolderLocked) as refused:
        FolderLock(tmp_path, "ckpt_path=x")
    machine = folder_lock.socket.gethostname()
    assert str(refused.value) == (
        f"ckpt_path=x: process {other_process.pid} on {machine} is writing to it; its lock ends with that process"
    )
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_lock_left_by_a_killed_process_does_not_count(tmp_path: Path, other_process: "subprocess.Popen[str]") -> None:
    other_process.kill()
    other_process.wait()
    assert (tmp_path / ".lock").exists()
    assert not is_locked(tmp_path)
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="reads /proc")
def test_a_process_that_ended_but_was_not_waited_for_does_not_hold_its_lock(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    deadline = time.monotonic() + 20
    while is_locked(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_locked(tmp_path)
    process.communicate()


def test_another_process_with_the_same_number_does_not_hold_the_lock(tmp_path: Path) -> None:
    write_lock(tmp_path, started="an earlier time")
    assert not is_locked(tmp_path)
    write_lock(tmp_path)
    assert is_locked(tmp_path)


@pytest.mark.parametrize("fields", [{"machine": "elsewhere"}, {"boot": "another container"}])
def test_a_lock_of_another_machine_counts_for_60_seconds_after_its_last_renewal(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    write_lock(tmp_path, age=20, pid=1, **fields)
    with pytest.raises(FolderLocked) as refused:
        FolderLock(tmp_path, "ckpt_path=x")
    assert f"process 1 on {fields.get('machine', folder_lock.socket.gethostname())}" in str(refused.value)
    assert str(refused.value).endswith("its lock lapses in 40 s unless that process renews it")
    write_lock(tmp_path, age=61, pid=1, **fields)
    with FolderLock(tmp_path):
        pass


def test_the_age_of_a_lock_is_measured_by_the_clock_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of this machine may differ from that of the server by hours."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    write_lock(tmp_path, age=50, machine="elsewhere")
    assert "lapses in 10 s" in str(refusal(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 4000, b"\xff", b'{"pid": "x"}'])
def test_a_damaged_lock_counts_for_60_seconds(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / ".lock"
    file.write_bytes(content)
    assert "a process that cannot be identified is writing to it" in str(refusal(tmp_path))
    renewed = file.stat().st_mtime - 61
    os.utime(file, (renewed, renewed))
    assert refusal(tmp_path) is None


def test_a_lock_is_renewed_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_lock, "RENEWAL_SECONDS", 0.02)
    with FolderLock(tmp_path) as lock:
        first, size = lock.file.read_bytes(), lock.file.stat().st_size
        deadline = time.monotonic() + 20
        while json.loads(lock.file.read_bytes())["renewals"] < "000000000003" and time.monotonic() < deadline:
            time.sleep(0.01)
        renewed = lock.file.read_bytes()
        assert lock.file.stat().st_size == size
    assert json.loads(renewed) | {"renewals": ""} == json.loads(first) | {"renewals": ""}
    assert int(json.loads(renewed)["renewals"]) >= 3


def test_a_lock_is_renewed_every_10_seconds() -> None:
    assert folder_lock.RENEWAL_SECONDS == 10
    assert folder_lock.LAPSE_SECONDS == 60


def test_of_many_that_find_a_lapsed_lock_one_takes_it(tmp_path: Path) -> None:
    for _ in range(20):
        write_lock(tmp_path, age=100, machine="elsewhere")
        start = threading.Barrier(8)

        def take(start: threading.Barrier = start) -> FolderLock | None:
            start.wait()
            try:
                return FolderLock(tmp_path)
            except FolderLocked:
                return None

        with ThreadPoolExecutor(8) as pool:
            taken = [lock for lock in [future.result() for future in [pool.submit(take) for _ in range(8)]] if lock]
        assert len(taken) == 1
        taken[0].check()
        taken[0].release()
        assert list(tmp_path.iterdir()) == []


def test_a_lock_needs_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    with FolderLock(tmp_path) as lock:
        lock.check()
        with pytest.raises(FolderLocked):
            FolderLock(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_is_tidied_up(tmp_path: Path) -> None:
    (tmp_path / ".lock.0123456789abcdef").touch()
    with FolderLock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^ckpt_path=x: cannot be written to \(No such file or directory\)$"):
        FolderLock(tmp_path / "none", "ckpt_path=x")


LOST: dict[str, tuple[Callable[[Path], object], str]] = {
    "taken over": (lambda folder: write_lock(folder, pid=7), "process 7 on .* has taken over this folder"),
    "damaged": (lambda folder: (folder / ".lock").write_text("x"), "another process has taken over this folder"),
    "removed": (lambda folder: (folder / ".lock").unlink(), "was removed while this process wrote to its folder"),
    "moved": (lambda folder: folder.rename(folder.with_name("b")), "was removed or replaced while this process wrote"),
}


@pytest.mark.parametrize("how", LOST)
def test_a_holder_that_has_lost_its_lock_writes_nothing_more(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    lose, message = LOST[how]
    with FolderLock(folder) as lock:
        events = EventFile(str(folder))
        lose(folder)
        held = folder.parent / "b" if how == "moved" else folder
        before = {path.name: path.read_bytes() for path in held.iterdir()}
        for write in (lock.check, lambda: events.add_records([b"x"]), lambda: atomic_write(folder / "x").__enter__()):
            with pytest.raises(UserError, match=message):
                write()
        events.close()
    # a lock that another process has taken over stays
    assert {path.name: path.read_bytes() for path in held.iterdir()} == before
    assert folder.exists() == (how != "moved")


def test_renewing_does_not_overwrite_the_lock_of_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "RENEWAL_SECONDS", 0.02)
    with FolderLock(tmp_path) as lock:
        content = write_lock(tmp_path, token="other").read_bytes()
        lock._thread.join(20)
        assert not lock._thread.is_alive()
        assert (tmp_path / ".lock").read_bytes() == content


def test_a_lock_that_this_process_holds_is_not_taken_twice(tmp_path: Path) -> None:
    with FolderLock(tmp_path) as lock:
        with locked(tmp_path):
            lock.check()
        assert is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_the_start_of_a_process_is_known_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert process_start(ended.pid) is None
    here = process_start(os.getpid())
    assert here == process_start(os.getpid()) != process_start(os.getppid())
    monkeypatch.setattr(folder_lock, "PROC", Path("no such folder"))
    other = process_start(os.getpid())
    assert abs(float(str(other)) - time.time()) < 10_000
    assert process_start(ended.pid) is None


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="sends the signals of POSIX")
def test_a_stopped_process_holds_its_lock(tmp_path: Path, other_process: "subprocess.Popen[str]") -> None:
    other_process.send_signal(signal.SIGSTOP)
    assert is_locked(tmp_path)


def test_a_fit_in_a_folder_that_another_process_writes_to_is_refused(
    tmp_path: Path, other_process: "subprocess.Popen[str]"
) -> None:
    def fit() -> None:
        logger = TensorBoardLogger(tmp_path.parent, name=tmp_path.name, version="")
        trainer = L.Trainer(
            max_steps=3,
            log_every_n_steps=1,
            max_epochs=-1,
            logger=logger,
            callbacks=[SnapshotLogger(pictures=0)],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            accelerator="cpu",
        )
        with quiet():
            trainer.fit(ReLUModule(width=3), SineData(updates=2))

    with pytest.raises(FolderLocked, match=f"process {other_process.pid} on"):
        fit()
    # Lightning has created an event file before it calls a callback
    assert not is_run(tmp_path)
    other_process.kill()
    other_process.wait()
    fit()
    assert is_run(tmp_path)
    assert not (tmp_path / ".lock").exists()
