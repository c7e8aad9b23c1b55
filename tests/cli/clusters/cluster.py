"""A cluster on one machine: its programs run in a separate network, which cannot be reached from outside.

The network is a namespace of Linux. All its ports are free, and it lists every process that was started in it, even if
the parent has ended; so all of them can be ended. Needs root, Linux, `ip` (package iproute2) and `nsenter`.
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
"""Of the machine inside: a reserved address. With 127.0.0.1 alone the C library resolves no names."""
TIMEOUT_SECONDS = 60.0
"""For a program to be ready, or for a process to end."""


class Terminated(KeyboardInterrupt):
    """This process has received SIGTERM."""


@dataclass
class Cluster:
    """The network in which a cluster's programs run, and its processes.

    Attributes:
        name: of the network.
        folder: for the files of the programs.
        environment: variables with which a command finds the cluster.
        daemons: the programs of the cluster.
        own: the ids of the cluster's own processes.
    """

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)
    own: frozenset[int] = frozenset()

    def command(self, *words: str | Path) -> list[str]:
        """Return a command that runs another command inside the network."""
        # not `ip netns exec`, which hides /sys/fs/cgroup
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, words)]

    def daemon(self, *words: str | Path) -> None:
        """Start a program of the cluster; its output goes to a file."""
        with (self.folder / f"{Path(words[0]).name}-{len(self.daemons)}.out").open("wb") as output:
            self.daemons.append(
                subprocess.Popen(
                    self.command(*words),
                    env=self.environment,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C must reach only the command; the daemons end after it
                    start_new_session=True,
                )
            )

    def run(self, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command inside the network, and wait for its end."""
        return subprocess.run(self.command(*words), env=self.environment, cwd=cwd, capture_output=True, text=True)

    def start(self, *words: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start a command as a shell does: in a new process group, which receives Ctrl-C."""
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
        """Return the ids of all processes inside."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        return {int(word) for word in found.stdout.split()}

    def mark_own_processes(self) -> None:
        """Record the processes that run now as the cluster's own."""
        self.own = frozenset(self.pids())

    def job_processes(self) -> dict[int, str]:
        """Return the processes that are not the cluster's own, id -> command line."""
        return {pid: line for pid in self.pids() - self.own if (line := command_line(pid))}

    def wait_until(self, condition: Callable[[], bool], name: str) -> None:
        """Wait until a condition is true.

        Args:
            condition: is checked again and again.
            name: of the awaited program, for the error message.

        Raises:
            RuntimeError: after a timeout, or if a daemon has ended; with the last output of all daemons.
        """
        end = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            ended = [one.args for one in self.daemons if one.poll() is not None]
            if ended or time.monotonic() > end:
                raise RuntimeError(f"{name}: {'ended: ' if ended else 'timeout'} {ended or ''}\n{self._last_output()}")
            time.sleep(0.1)

    def kill_all(self) -> None:
        """Kill every process inside."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while (pids := self.pids()) and time.monotonic() < end:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for one in self.daemons:
                one.poll()
            time.sleep(0.05)

    def _last_output(self) -> str:
        files = [path for pattern in ("*.out", "*.log") for path in sorted(self.folder.glob(pattern))]
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-500:]}" for path in files)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster without programs.

    Args:
        folder: for the files of the programs; its path must be short, because sockets lie there.

    Raises:
        RuntimeError: if this machine lacks something that a cluster needs.
    """
    if message := missing_requirement("ip", "nsenter"):
        raise RuntimeError(message)
    _remove_orphaned_clusters()
    inside = Cluster(f"{PREFIX}-{os.getpid()}-{time.monotonic_ns() % 10**6}", folder)
    subprocess.run(["ip", "netns", "add", inside.name], check=True)
    try:
        for words in (("address", "add", ADDRESS, "dev", "lo"), ("link", "set", "lo", "up")):
            subprocess.run(inside.command("ip", *words), check=True)
        yield inside
    finally:
        inside.kill_all()
        subprocess.run(["ip", "netns", "delete", inside.name], check=True)


def missing_requirement(*programs: str) -> str | None:
    """Return a message if this machine lacks something that a cluster needs, else None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a cluster needs Linux and root"
    missing = [name for name in programs if shutil.which(name) is None]
    return f"not on the PATH: {', '.join(missing)}" if missing else None


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def main(cluster_in: Callable[[Path], AbstractContextManager[Cluster]], command: Sequence[str], usage: str) -> int:
    """Start a cluster, run a command in it, and return the exit status of the command."""
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
                # a terminal sends Ctrl-C also to the command
                if isinstance(stopped, Terminated):
                    started.terminate()
                with suppress(subprocess.TimeoutExpired):
                    started.wait(TIMEOUT_SECONDS)
                raise
    except KeyboardInterrupt as stopped:
        return 143 if isinstance(stopped, Terminated) else 130
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2


def _remove_orphaned_clusters() -> None:
    """Remove the clusters of processes that were killed."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for name, pid in re.findall(rf"^({PREFIX}-(\d+)-\d+)", listed, re.M):
        if not Path(f"/proc/{pid}").exists():
            Cluster(name, Path()).kill_all()
            subprocess.run(["ip", "netns", "delete", name], check=False)
