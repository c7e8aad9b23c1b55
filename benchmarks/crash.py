"""Kills runs, resumes them, and compares them with an undisturbed run, bit for bit. POSIX only.

Each model is killed at random moments, at every write into its folder (each file opened, event written, rename, link
and removal), and after every checkpoint; the helper processes of a run are killed too, and Ctrl-C is pressed. The same
command, or `ckpt_path=`, then completes the run. Compared are all values that TensorBoard shows: parameters, votes,
scalars, histograms, pictures and texts; and metrics.json without its times.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

SHORT = ["updates=400", "snapshots.every=20", "callbacks.checkpoints.seconds=0", "callbacks.snapshots.pictures=4"]
MODELS = {
    "constant": ["+exp=constant", *SHORT, "sampler=with_replacement", "sampler.batch_size=5"],
    "linear": ["+exp=linear", *SHORT, "sampler=epoch", "sampler.batch_size=5", "optimizer=momentum"],
    "relu": ["+exp=relu", *SHORT, "optimizer=adam", "scheduler=cosine"],
    "relu, 3 replicas, exact": ["+exp=relu", *SHORT, "sampler=full", "replicas=3"],
    "relu, reference engine": ["+exp=relu", *SHORT, "engine=reference", "trainer.precision=64-true", "updates=100"],
}
KILLED = -signal.SIGKILL
TIMEOUT_SECONDS = 120.0
NOT_COMPARED = ("_hparams_/session_start_info", "_hparams_/session_end_info")
"""Tags whose values contain the time of day."""


@dataclass
class Counts:
    """What became of the killed runs of one model.

    Attributes:
        kills: kind of kill -> how many runs were killed so.
        unequal: descriptions of runs that differ from the undisturbed one after they were completed.
        incomplete: descriptions of runs that could not be completed.
    """

    kills: dict[str, int] = field(default_factory=dict)
    unequal: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)


def content(folder: Path) -> dict[str, str]:
    """Return digests of everything that a run recorded: "tag update" -> digest, and metrics.json without times."""
    from reluviz.record.event_file import DamagedRecord, event_files, read_events

    found: dict[tuple[int, str], str] = {}
    for path in event_files(folder):
        with contextlib.suppress(DamagedRecord):
            for event in read_events(path):
                if event.HasField("session_log"):
                    # readers discard what was written at or after this update
                    found = {key: value for key, value in found.items() if key[0] < event.step}
                for value in event.summary.value:
                    if value.tag not in NOT_COMPARED:
                        data = value.SerializeToString(deterministic=True)
                        found[event.step, value.tag] = hashlib.sha256(data).hexdigest()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    del metrics["seconds"]
    values = {f"{tag} {step}": digest for (step, tag), digest in found.items()}
    return values | {f"metrics.json {key}": json.dumps(value) for key, value in metrics.items()}


def start(arguments: list[str], prepare: Callable[[], object] = lambda: None, helpers: bool = False) -> int:
    """Start a run in a child of this process, where all packages are imported already, and return the child's id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from reluviz import __main__
        from reluviz.training import helper_processes

        if not helpers:
            helper_processes.processors = lambda: 1
        sys.argv = ["reluviz", "train", *arguments]
        prepare()
        status = __main__.main()
    finally:
        os._exit(status)


def wait(pid: int, seconds: float = TIMEOUT_SECONDS) -> int | None:
    """Return the exit status of a child, negative for a signal; None, and kill it, if it does not end in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def kill_at(number: int, folder: Path, before: bool) -> None:
    """Have this process kill itself at its `number`-th write into a folder, before or after the write is made."""
    from reluviz.record.event_file import EventFile

    place, count = str(folder.resolve()), 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        # these are raised before the operation, so a kill after one operation is a kill before the next one
        if event in ("os.rename", "os.link", "os.remove", "os.mkdir"):
            paths = arguments[:2]
        elif event == "open" and arguments[1] and set(str(arguments[1])) & set("wax+"):
            paths = arguments[:1]
        else:
            return
        if any(isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(place) for path in paths):
            step()

    sys.addaudithook(audit)
    add_records = EventFile.add_records

    def add(self: EventFile, events: Any) -> None:
        events = list(events)
        if before:
            step()
        if not before and count + 1 == number:
            # a part of a record reaches the disk
            add_records(self, events[:-1])
            assert self._file is not None
            self._file.write(b"\x05" + bytes(20))
            self._file.flush()
        if not before:
            step()
        add_records(self, events)

    EventFile.add_records = add  # type: ignore[method-assign]


def helper_ids(pid: int) -> list[int]:
    """Return the ids of the helper processes of a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            words = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_bytes()
            if int(words[1]) == pid and b"spawn_main" in command:
                found.append(int(path.parent.name))
    return sorted(found)


def complete(folder: Path, arguments: list[str]) -> int | None:
    """Complete a run that was killed, as its user would, and return the exit status."""
    if (folder / ".hydra" / "config.yaml").is_file():
        return wait(start([f"ckpt_path={folder}"]))
    return wait(start([*arguments, f"hydra.run.dir={folder}"]))


class Model:
    """Kills runs of one model.

    Args:
        name: the name of the model.
        base: a folder for its runs.
        seed: of the random moments.
    """

    def __init__(self, name: str, base: Path, seed: int) -> None:
        self.arguments = MODELS[name]
        self.base = base
        self.random = random.Random(f"{name} {seed}")
        self.counts = Counts()
        self.number = 0
        self.undisturbed = self.new_folder()
        started = time.monotonic()
        status = wait(start(self.command(self.undisturbed)))
        if status != 0:
            raise SystemExit(f"{name}: the undisturbed run ended with status {status}")
        self.seconds = time.monotonic() - started
        self.wanted = content(self.undisturbed)

    def new_folder(self) -> Path:
        """Return the path of a run that does not exist yet."""
        self.number += 1
        return self.base / f"run-{self.number}"

    def command(self, folder: Path) -> list[str]:
        """Return the arguments of a new run."""
        return [*self.arguments, f"hydra.run.dir={folder}"]

    def check(self, kind: str, what: str, folder: Path, status: int | None, hit: bool) -> None:
        """Complete a run if it has to be, and compare it with the undisturbed one.

        Args:
            kind: the kind of kill.
            what: describes this kill.
            folder: the run's folder.
            status: the exit status of the process.
            hit: whether the process was killed before it ended.
        """
        self.counts.kills[kind] = self.counts.kills.get(kind, 0) + hit
        if status != 0:
            status = complete(folder, self.arguments)
        metrics = folder / "metrics.json"
        finished = status == 0 and json.loads(metrics.read_text(encoding="utf-8"))["status"] == "finished"
        if not finished:
            self.counts.incomplete.append(f"{what}: completing it ended with status {status}")
            return
        found = content(folder)
        different = sorted(key for key in self.wanted.keys() | found.keys() if self.wanted.get(key) != found.get(key))
        if different:
            self.counts.unequal.append(f"{what}: {len(different)} values, such as {different[:3]}")
        else:
            shutil.rmtree(folder)

    def kill_at_random(self, times: int) -> None:
        """Kill runs at random moments, some of them a second time while they are resumed."""
        for _ in range(times):
            folder, delay = self.new_folder(), self.random.uniform(0, 1.1 * self.seconds)
            pid = start(self.command(folder))
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
            status = wait(pid)
            if self.random.random() < 0.2 and (folder / ".hydra" / "config.yaml").is_file():
                pid = start([f"ckpt_path={folder}"])
                time.sleep(self.random.uniform(0, self.seconds))
                os.kill(pid, signal.SIGKILL)
                status = wait(pid)
            self.check("at random", f"SIGKILL after {delay:.3f} s", folder, status, status == KILLED)

    def kill_at_writes(self, stride: int) -> None:
        """Kill a run at every `stride`-th write into its folder."""
        for before in (True, False):
            for number in range(1, 10**6, stride):
                folder = self.new_folder()
                status = wait(start(self.command(folder), lambda n=number, f=folder, b=before: kill_at(n, f, b)))
                self.check("at writes", f"SIGKILL at write {number}", folder, status, status == KILLED)
                if status != KILLED:
                    break

    def kill_helpers(self, times: int) -> None:
        """Kill a helper process, or both, at random moments; the run itself goes on."""
        for _ in range(times):
            folder, delay = self.new_folder(), self.random.uniform(0, 2 * self.seconds)
            pid, killed = start(self.command(folder), helpers=True), 0
            time.sleep(delay)
            for helper in self.random.sample(found := helper_ids(pid), self.random.randint(0, len(found))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGKILL)
                    killed += 1
            status = wait(pid)
            if status != 0:
                self.counts.incomplete.append(f"helper killed after {delay:.3f} s: the run ended with status {status}")
            else:
                self.check("helpers", f"{killed} helpers killed after {delay:.3f} s", folder, status, killed > 0)

    def interrupt(self, times: int) -> None:
        """Press Ctrl-C, or send SIGTERM, at random moments."""
        for _ in range(times):
            folder, delay = self.new_folder(), self.random.uniform(0.3, 1.1) * self.seconds
            number = self.random.choice([signal.SIGINT, signal.SIGTERM])
            pid = start(self.command(folder))
            time.sleep(delay)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            status = wait(pid)
            self.check("signals", f"{number.name} after {delay:.3f} s", folder, status, status != 0)


@contextlib.contextmanager
def packages_imported() -> Iterator[None]:
    """Import everything that training needs, so that a child process trains at once."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import reluviz.cli.resume
    import reluviz.cli.terminal
    import reluviz.cli.train
    import reluviz.plots
    import reluviz.training.prepare
    import reluviz.training.run  # noqa: F401

    yield


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return 1 if a run was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills of each model at random moments (default: 200)")
    parser.add_argument("--stride", type=int, default=1, help="kill at every STRIDE-th write (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: 0)")
    parser.add_argument("--model", choices=MODELS, action="append", help="only this model; may be repeated")
    parser.add_argument("--keep", type=Path, help="keep the folders of runs that differ below this folder")
    options = parser.parse_args(argv)
    failed = 0
    with TemporaryDirectory() as temporary, packages_imported():
        base = options.keep or Path(temporary)
        print("| model | kills at random | at writes | of helpers | signals | not completed | unequal |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for name in options.model or MODELS:
            folder = base / name.replace(", ", "-").replace(" ", "-")
            folder.mkdir(parents=True, exist_ok=True)
            model = Model(name, folder, options.seed)
            model.kill_at_random(options.kills)
            model.kill_at_writes(options.stride)
            model.kill_helpers(max(1, options.kills // 10))
            model.interrupt(max(1, options.kills // 5))
            counts = model.counts
            kills = [counts.kills.get(kind, 0) for kind in ("at random", "at writes", "helpers", "signals")]
            numbers = [*kills, len(counts.incomplete), len(counts.unequal)]
            print(f"| {name} | {' | '.join(map(str, numbers))} |", flush=True)
            for line in (*counts.incomplete, *counts.unequal):
                print(f"{name}: {line}", file=sys.stderr, flush=True)
            failed += len(counts.incomplete) + len(counts.unequal)
    return 1 if failed else 0


def process() -> NoReturn:
    """Run `main` as a program."""
    raise SystemExit(main())


if __name__ == "__main__":
    process()
