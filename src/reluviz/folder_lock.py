"""One process at a time writes into a folder: a lock file that names the process, its machine and its last renewal.

The file is created exclusively and renewed every `RENEWAL_SECONDS`. On the machine of its holder the lock counts while
the holder lives, which the process's number and start time decide. A lock of another machine counts while it is
younger than `LAPSE_SECONDS` by the clock of the file system. `flock` is no alternative: it fails on network disks.
"""

import contextlib
import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from reluviz.errors import UserError

LOCK_FILE = ".lock"
"""In a folder that a process writes into."""
RENEWAL_SECONDS = 10.0
"""Between two renewals of a lock."""
LAPSE_SECONDS = 60.0
"""Without a renewal for this long, a lock of another machine has lapsed."""
GUARD_SECONDS = 0.01
"""The wait for another process that removes an old lock."""
MAX_LOCK_BYTES = 4096
PROC = Path("/proc")
"""Linux describes each process here."""

_held: dict[str, "FolderLock"] = {}
"""The locks of this process: real path of the folder -> lock."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        pid: its number.
        started: when it started, as its machine counts; empty if unknown.
        machine: the machine's name.
        boot: identifies the machine's last start and the set of process numbers that the process sees.
        token: distinguishes this lock from all others.
        renewals: how often the lock has been renewed.
    """

    pid: int
    started: str
    machine: str
    boot: str
    token: str
    renewals: int = 0

    @classmethod
    def this_process(cls) -> "Holder":
        """Return this process as the holder of a new lock."""
        pid = os.getpid()
        return cls(pid, process_start(pid) or "", socket.gethostname(), _boot(), secrets.token_hex(8))

    @property
    def is_here(self) -> bool:
        """Whether the process runs, or ran, on this machine."""
        return (self.machine, self.boot) == (socket.gethostname(), _boot())

    def lives(self) -> bool:
        """Return whether the process still runs; only for processes of this machine."""
        started = process_start(self.pid)
        return started is not None and self.started in ("", started)

    def text(self) -> bytes:
        """Return the content of the lock file, of the same length for every number of renewals."""
        return json.dumps(asdict(self) | {"renewals": f"{self.renewals:012d}"}).encode() + b"\n"


class FolderLocked(UserError):
    """Another process is writing into the folder."""


class FolderLock:
    """The right of this process to write into a folder, renewed by a thread.

    Args:
        folder: the folder, which exists.
        what: how the command line names the folder, for messages.
        name: the name of the lock file.

    Raises:
        FolderLocked: if another process holds the lock.
        UserError: if the folder cannot be written to.
    """

    def __init__(self, folder: Path, what: str = "", name: str = LOCK_FILE) -> None:
        self.folder = folder.resolve()
        self.file = self.folder / name
        self.what = what or str(folder)
        self._holder = Holder.this_process()
        self._identity = file_identity(self.folder)
        self._released = threading.Event()
        self._take()
        _held[str(self.file)] = self
        self._thread = threading.Thread(target=self._keep_renewing, name="folder lock", daemon=True)
        self._thread.start()

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def check(self) -> None:
        """Check that this process still holds the lock.

        Raises:
            UserError: if the folder has been removed or replaced, or another process has taken the lock over.
        """
        if file_identity(self.folder) != self._identity:
            raise UserError(f"{self.folder}: was removed or replaced while this process wrote to it")
        if not self._is_mine():
            holder = read_holder(self.file)
            if holder is None and not self.file.exists():
                raise UserError(f"{self.file}: was removed while this process wrote to its folder")
            by = "another process" if holder is None else f"process {holder.pid} on {holder.machine}"
            raise UserError(f"{self.folder}: {by} has taken over this folder, since its lock was not renewed in time")

    def _is_mine(self) -> bool:
        holder = read_holder(self.file)
        return holder is not None and holder.token == self._holder.token

    def release(self) -> None:
        """Give the lock up; a lock that another process has taken over stays."""
        if self._released.is_set():
            return
        self._released.set()
        self._thread.join()
        _held.pop(str(self.file), None)
        with contextlib.suppress(OSError, UserError):
            self.check()
            self.file.unlink()

    def _take(self) -> None:
        try:
            found = _take_file(self.file, self._holder.text())
        except OSError as error:
            raise UserError(f"{self.what}: cannot be written to ({error.strerror or error})") from error
        if found is not None:
            raise FolderLocked(f"{self.what}: {found.refusal()}")
        # what processes left that were killed while they took the lock
        for stale in self.folder.glob(f"{self.file.name}.*"):
            with contextlib.suppress(OSError):
                stale.unlink()

    def _keep_renewing(self) -> None:
        while not self._released.wait(RENEWAL_SECONDS):
            try:
                self.check()
                self._holder = replace(self._holder, renewals=self._holder.renewals + 1)
                with self.file.open("r+b") as file:
                    file.write(self._holder.text())
            except UserError:
                # the next `check` of the thread that writes says so
                return
            except OSError:
                continue


@dataclass(frozen=True)
class _State:
    """A lock file as it was found.

    Attributes:
        file: its path.
        content: its bytes.
        holder: the process that it names; None if it is damaged.
        modified: the time of its last renewal.
    """

    file: Path
    content: bytes
    holder: Holder | None
    modified: float

    @classmethod
    def of(cls, file: Path) -> "_State | None":
        """Return the state of a lock file; None if there is none."""
        try:
            with file.open("rb") as opened:
                # only an open file has a reliable time on a network disk
                content, modified = opened.read(MAX_LOCK_BYTES), os.fstat(opened.fileno()).st_mtime
            return cls(file, content, _parse(content), modified)
        except FileNotFoundError:
            return None

    @cached_property
    def age(self) -> float:
        """Seconds since the last renewal, by the clock of the file system."""
        return _clock(self.file.parent) - self.modified

    @property
    def counts(self) -> bool:
        """Whether the lock has to be respected."""
        if self.holder is not None and self.holder.is_here:
            return self.holder.lives()
        return self.age < LAPSE_SECONDS

    def refusal(self) -> str:
        """Return who holds the lock, and when it lapses."""
        who = "a process that cannot be identified"
        if self.holder is not None:
            who = f"process {self.holder.pid} on {self.holder.machine}"
            if self.holder.is_here:
                return f"{who} is writing to it; its lock ends with that process"
        left = min(LAPSE_SECONDS, max(1.0, LAPSE_SECONDS - self.age))
        return f"{who} is writing to it; its lock lapses in {left:.0f} s unless that process renews it"

    def remove(self, text: bytes) -> None:
        """Remove the lock file, but not a newer one; `text` is the content of this process's lock files.

        Of several processes that found this lock one at a time gets here, since a second lock guards the removal.
        """
        guard = self.file.with_name(f"{self.file.name}.{hashlib.sha256(self.content).hexdigest()[:16]}")
        if _take_file(guard, text) is not None:
            time.sleep(GUARD_SECONDS)
            return
        try:
            now = _State.of(self.file)
            if now is not None and now.content == self.content:
                self.file.unlink()
        finally:
            guard.unlink(missing_ok=True)


def _take_file(file: Path, text: bytes) -> _State | None:
    """Create a lock file, after removing one that does not count any more; return the lock that counts, if any."""
    while not _create(file, text):
        found = _State.of(file)
        if found is not None:
            if found.counts:
                return found
            found.remove(text)
    return None


def _create(file: Path, text: bytes) -> bool:
    """Create a lock file with its content in one step; return False if it exists."""
    complete = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    complete.write_bytes(text)
    try:
        os.link(complete, file)
    except (FileExistsError, FileNotFoundError):
        # FileNotFoundError: another process has tidied up
        return False
    except OSError:
        # a file system without hard links
        try:
            with file.open("xb") as created:
                created.write(text)
        except FileExistsError:
            return False
    finally:
        complete.unlink(missing_ok=True)
    return True


def check_held(path: Path) -> None:
    """Check that this process may still write to a file, if it holds the lock of one of the folders above it.

    Raises:
        UserError: see `FolderLock.check`.
    """
    if _held:
        real = os.path.realpath(path)
        for lock in list(_held.values()):
            if real.startswith(f"{lock.folder}{os.sep}") and not lock._released.is_set():
                lock.check()


def holds(folder: Path) -> bool:
    """Return whether this process holds the lock of a folder."""
    return str(folder.resolve() / LOCK_FILE) in _held


def locked(folder: Path, what: str = "") -> contextlib.AbstractContextManager[object]:
    """Return a new lock of a folder; a context that does nothing if this process holds it already.

    Raises:
        FolderLocked: if another process holds it.
        UserError: if the folder cannot be written to.
    """
    return contextlib.nullcontext() if holds(folder) else FolderLock(folder, what)


def is_locked(folder: Path) -> bool:
    """Return whether a process is writing into a folder."""
    return refusal(folder) is not None


def refusal(folder: Path) -> str | None:
    """Return who is writing to a folder, and when the lock lapses; None if none is."""
    found = _state_or_none(folder)
    return found.refusal() if found is not None and found.counts else None


def read_holder(file: Path) -> Holder | None:
    """Return the process that a lock file names; None if there is no such file, or it is damaged."""
    try:
        with file.open("rb") as opened:
            return _parse(opened.read(MAX_LOCK_BYTES))
    except OSError:
        return None


def process_start(pid: int) -> str | None:
    """Return when a process started, in a form that only its machine can compare; None if it does not run."""
    if (PROC / "self" / "stat").exists():
        try:
            with open(PROC / str(pid) / "stat", encoding="ascii", errors="replace") as file:
                # after the name in brackets, which may hold anything: the state, and in the 20th place the start
                words = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        return None if words[0] in "ZX" else words[19]
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return ""


def _state_or_none(folder: Path) -> _State | None:
    try:
        return _State.of(folder / LOCK_FILE)
    except OSError:
        return None


def _parse(content: bytes) -> Holder | None:
    try:
        fields = json.loads(content)
        return Holder(
            int(fields["pid"]),
            str(fields["started"]),
            str(fields["machine"]),
            str(fields["boot"]),
            str(fields["token"]),
            int(fields["renewals"]),
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _clock(folder: Path) -> float:
    """Return the time by the clock of a folder's file system, in seconds."""
    probe = folder / f"{LOCK_FILE}.{secrets.token_hex(8)}"
    try:
        with probe.open("xb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        # not writable: this process cannot take the lock, and only asks
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _boot() -> str:
    """Return what distinguishes machines, or containers, of the same name; empty where that is unknown."""
    parts = []
    read: list[Callable[[], str]] = [
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8],
        lambda: os.readlink("/proc/self/ns/pid").strip("pid:[]"),
    ]
    for one in read:
        with contextlib.suppress(OSError):
            parts.append(one())
    return "-".join(parts)


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file or folder from another one of the same name; None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
