"""A cluster on one machine: its programs run in a network of their own, which nothing outside can reach.

The network is a namespace of Linux's. It has all ports to itself, and it knows every process that was started in
it, whoever the parent is now: so that nothing outlives it. Needs root, Linux, `ip` (package iproute2) and `nsenter`.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

PREFIX = "reluviz"
ADDRESS = "192.0.2.1/32"
"""Of the machine inside, for which nobody has a use; with 127.0.0.1 alone the C library resolves no names."""
PATIENCE = 60.0
"""Seconds for a program to be ready, or for a process to end."""


class Terminated(KeyboardInterrupt):
    """This process was asked to end by SIGTERM."""


@dataclass
class Cluster:
    """Where a cluster's programs run, and the commands that are to use it.

    Attributes:
        name: of the network.
        folder: of the programs' own files.
        environment: what a command needs to find the cluster.
        daemons: the programs that were started to stay.
        own: the processes that are the cluster itself.
    """

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)
    own: frozenset[int] = frozenset()

    def command(self, *words: str | Path) -> list[str]:
        """Return a command as it is run inside."""
        # not `ip netns exec`, which hides /sys/fs/cgroup
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, words)]

    def daemon(self, *words: str | Path) -> None:
        """Start a program that stays; what it says goes to a file."""
        with (self.folder / f"{Path(words[0]).name}-{len(self.daemons)}.said").open("wb") as said:
            self.daemons.append(
                subprocess.Popen(
                    self.command(*words),
                    env=self.environment,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C is for the command; the daemons end after it
                    start_new_session=True,
                )
            )

    def run(self, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(self.command(*words), env=self.environment, cwd=cwd, capture_output=True, text=True)

    def start(self, *words: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start a command as a shell does: in a process group of its own, to which Ctrl-C goes."""
        return subprocess.Popen(
            self.command(*words),
            env=self.environment,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def pids(self) -> set[int]:
        """Return all processes inside."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        return {int(word) for word in found.stdout.split()}

    def ready(self) -> None:
        """Take what runs now for the cluster itself."""
        self.own = frozenset(self.pids())

    def guests(self) -> dict[int, str]:
        """Return the processes that do not belong to the cluster itself, with their command lines."""
        return {pid: line for pid in self.pids() - self.own if (line := command_line(pid))}

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait for something.

        Raises:
            RuntimeError: if it does not come, or a daemon has ended; with the last words of all daemons.
        """
        end = time.monotonic() + PATIENCE
        while not true():
            gone = [one.args for one in self.daemons if one.poll() is not None]
            if gone or time.monotonic() > end:
                raise RuntimeError(
                    f"{what}: {'ended: ' if gone else 'did not come'} {gone or ''}\n{self._last_words()}"
                )
            time.sleep(0.1)

    def end(self) -> None:
        """Kill everything inside."""
        end = time.monotonic() + PATIENCE
        while (pids := self.pids()) and time.monotonic() < end:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for one in self.daemons:
                one.poll()
            time.sleep(0.05)

    def _last_words(self) -> str:
        files = [path for pattern in ("*.said", "*.log") for path in sorted(self.folder.glob(pattern))]
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-500:]}" for path in files)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Give a cluster without programs.

    Args:
        folder: for the programs' files; its name is to be short, since sockets are put there.

    Raises:
        RuntimeError: if this machine cannot have one.
    """
    if why := lacking("ip", "nsenter"):
        raise RuntimeError(why)
    _end_forsaken()
    inside = Cluster(f"{PREFIX}-{os.getpid()}-{time.monotonic_ns() % 10**6}", folder)
    subprocess.run(["ip", "netns", "add", inside.name], check=True)
    try:
        for words in (("address", "add", ADDRESS, "dev", "lo"), ("link", "set", "lo", "up")):
            subprocess.run(inside.command("ip", *words), check=True)
        yield inside
    finally:
        inside.end()
        subprocess.run(["ip", "netns", "delete", inside.name], check=True)


def lacking(*programs: str) -> str | None:
    """Return one line for what a cluster needs and this machine does not have."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a cluster of one's own needs Linux and root"
    missing = [name for name in programs if shutil.which(name) is None]
    return f"not on the PATH: {', '.join(missing)}" if missing else None


def command_line(pid: int) -> str:
    """Return the command of a process, empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def main(cluster_in: Callable[[Path], AbstractContextManager[Cluster]], command: Sequence[str], usage: str) -> int:
    """Run a command in a cluster made for it, and return its exit status."""
    if not command:
        print(usage, file=sys.stderr)
        return 2

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        with TemporaryDirectory(prefix="cl") as folder, cluster_in(Path(folder)) as inside:
            started = subprocess.Popen(inside.command(*command), env=inside.environment)
            try:
                return started.wait()
            except KeyboardInterrupt as stopped:
                # a terminal sends Ctrl-C to the command too
                if isinstance(stopped, Terminated):
                    started.terminate()
                with suppress(subprocess.TimeoutExpired):
                    started.wait(PATIENCE)
                raise
    except KeyboardInterrupt as stopped:
        return 143 if isinstance(stopped, Terminated) else 130
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2


def _end_forsaken() -> None:
    """End the clusters of processes that were killed."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for name, pid in re.findall(rf"^({PREFIX}-(\d+)-\d+)", listed, re.M):
        if not Path(f"/proc/{pid}").exists():
            Cluster(name, Path()).end()
            subprocess.run(["ip", "netns", "delete", name], check=False)
