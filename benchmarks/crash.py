"""Kills runs, resumes them, and compares them with an undisturbed run, bit for bit. POSIX only.

Each model is killed at random moments, at every write into its folder (each file opened, event written, rename, link
and removal), which includes every checkpoint; the helper processes of a run are killed too, and Ctrl-C is pressed. The
same command, or `ckpt_path=`, then completes the run. Compared are all values that TensorBoard shows: parameters,
votes, scalars, histograms, pictures and texts; and metrics.json without its times. Then pairs of processes run the same
command in the same folder: one is refused in one line, or comes after the other, and nothing is lost.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory, mkdtemp
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


def start(
    words: list[str],
    prepare: Callable[[], object] = lambda: None,
    helpers: bool = False,
    errors: Path | None = None,
) -> int:
    """Start a command in a child of this process, where all packages are imported, and return the child's id.

    Args:
        words: the command line, from the verb on.
        prepare: called in the child before the command.
        helpers: whether the command may have helper processes.
        errors: a file for the messages of the command.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere if errors is None else os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from reluviz import __main__
        from reluviz.training import helper_processes

        if not helpers:
            helper_processes.processors = lambda: 1
        sys.argv = ["reluviz", *words]
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
        return wait(start(["train", f"ckpt_path={folder}"]))
    return wait(start(["train", *arguments, f"hydra.run.dir={folder}"]))


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
        """Return the command line of a new run."""
        return ["train", *self.arguments, f"hydra.run.dir={folder}"]

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
                pid = start(["train", f"ckpt_path={folder}"])
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


class Verb:
    """Pairs of processes that run the same command in the same folder.

    Args:
        name: the name of the command.
        base: a folder for what they write.
        seed: of the random moments.
    """

    LEARN = ("updates=100", "snapshots.every=20", "callbacks.snapshots.pictures=2", "callbacks.checkpoints.every=1")

    def __init__(self, name: str, base: Path, seed: int) -> None:
        self.random = random.Random(f"{name} {seed}")
        self.base = base
        self.number = self.refused = self.one_after_the_other = 0
        self.lost: list[str] = []
        self.make_template, self.words, self.content = {
            "train": (self.nothing, self.train, content),
            "train ckpt_path=": (self.stopped_run, self.resume, content),
            "train -m": (self.nothing, self.sweep, self.all_runs),
            "train -m sweep.resume=": (self.stopped_sweep, self.resume_sweep, self.all_runs),
            "export": (self.finished_run, self.export, self.files),
            "report": (self.finished_run, self.report, self.files),
        }[name]
        self.run = base / "run"
        if wait(start(self.train(self.run))) != 0:
            raise SystemExit(f"{name}: the undisturbed run failed")
        self.template = base / "template"
        self.make_template(self.template)
        whole = self.new_folder()
        started = time.monotonic()
        if wait(start(self.words(whole))) != 0:
            raise SystemExit(f"{name}: the undisturbed command failed")
        self.seconds = time.monotonic() - started
        self.wanted = self.content(whole)

    def new_folder(self) -> Path:
        """Return a new folder, as the command expects it."""
        self.number += 1
        folder = self.base / f"folder-{self.number}"
        if self.template.exists():
            shutil.copytree(self.template, folder)
        return folder

    def nothing(self, folder: Path) -> None:
        """Make no template: the command creates its folder."""

    def finished_run(self, folder: Path) -> None:
        """Make an empty folder: the command reads the undisturbed run."""

    def stopped_run(self, folder: Path) -> None:
        """Make a run that stopped after 40 updates."""
        shutil.copytree(self.run, folder)
        (folder / "metrics.json").unlink()
        shutil.copy(folder / "checkpoints" / "update-000000040.ckpt", folder / "checkpoints" / "last.ckpt")

    def stopped_sweep(self, folder: Path) -> None:
        """Make a sweep with one finished run and one that stopped."""
        if wait(start(self.sweep(folder))) != 0:
            raise SystemExit("the undisturbed sweep failed")
        (folder / "seed-1" / "metrics.json").unlink()

    def train(self, folder: Path) -> list[str]:
        """Return the command that trains a new run."""
        return ["train", "+exp=linear", *self.LEARN, f"hydra.run.dir={folder}"]

    def resume(self, folder: Path) -> list[str]:
        """Return the command that completes a run."""
        return ["train", f"ckpt_path={folder}"]

    def sweep(self, folder: Path) -> list[str]:
        """Return the command that trains a new sweep."""
        return ["train", "-m", "+exp=linear", *self.LEARN, "seed=0,1", f"hydra.sweep.dir={folder}"]

    def resume_sweep(self, folder: Path) -> list[str]:
        """Return the command that completes a sweep."""
        return ["train", "-m", "+exp=linear", *self.LEARN, "seed=0,1", f"sweep.resume={folder}"]

    def export(self, folder: Path) -> list[str]:
        """Return the command that exports the undisturbed run."""
        return ["export", str(self.run), "--gif", "--csv", "--force", "--out", str(folder)]

    def report(self, folder: Path) -> list[str]:
        """Return the command that reports on the undisturbed run."""
        return ["report", str(self.run), "--out", str(folder)]

    def all_runs(self, folder: Path) -> dict[str, str]:
        """Return the content of the runs of a sweep."""
        runs = sorted(path.parent for path in folder.glob("*/metrics.json"))
        return {f"{run.name} {key}": value for run in runs for key, value in content(run).items()}

    def files(self, folder: Path) -> dict[str, str]:
        """Return the names of all files, and digests of those without a time in them."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            if path.suffix in (".gif", ".csv", ".png")
            else ""
            for path in paths
        }

    def collide(self, times: int) -> None:
        """Run the command twice in one folder, the second time after a random delay."""
        for _ in range(times):
            folder, delay = self.new_folder(), self.random.uniform(0, 0.8 * self.seconds)
            files = [self.base / "first", self.base / "second"]
            for file in files:
                file.unlink(missing_ok=True)
            first = start(self.words(folder), errors=files[0])
            time.sleep(delay)
            second = start(self.words(folder), errors=files[1])
            statuses = [wait(pid) for pid in (first, second)]
            texts = [file.read_text(encoding="utf-8") for file in files]
            lines = [text for status, text in zip(statuses, texts, strict=True) if status == 2]
            self.refused += len(lines)
            self.one_after_the_other += statuses == [0, 0]
            good = sorted(statuses, key=str) in ([0, 2], [0, 0]) and all(text.count("\n") == 1 for text in lines)
            if not good or self.content(folder) != self.wanted:
                self.lost.append(f"after {delay:.3f} s: statuses {statuses}, {texts}")
            else:
                shutil.rmtree(folder)


VERBS = ("train", "train ckpt_path=", "train -m", "train -m sweep.resume=", "export", "report")


def prepare_children(models: Sequence[str]) -> None:
    """Import all packages, and load fonts and compiled code by short runs, so that a child process trains at once."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from reluviz import __main__
    from reluviz.training import helper_processes

    processors, helper_processes.processors = helper_processes.processors, lambda: 1
    argv = sys.argv
    with TemporaryDirectory() as folder, open(os.devnull, "w", encoding="utf-8") as nowhere:
        for number, arguments in enumerate(MODELS[name] for name in models):
            sys.argv = ["reluviz", "train", *arguments, f"hydra.run.dir={folder}/{number}"]
            with contextlib.redirect_stdout(nowhere):
                __main__.main()
    sys.argv, helper_processes.processors = argv, processors


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return 1 if a run was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills of each model at random moments (default: 200)")
    parser.add_argument("--stride", type=int, default=1, help="kill at every STRIDE-th write (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: 0)")
    parser.add_argument("--model", choices=[*MODELS, "none"], action="append", help="only this model; may be repeated")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of processes for each verb (default: 20)")
    parser.add_argument("--keep", type=Path, help="keep the folders of runs that differ below this folder")
    options = parser.parse_args(argv)
    failed = 0
    models = [] if options.model == ["none"] else options.model or list(MODELS)
    prepare_children(models or ["linear"])
    with TemporaryDirectory() as temporary:
        base = options.keep or Path(temporary)
        base.mkdir(parents=True, exist_ok=True)
        print("| model | kills at random | at writes | of helpers | signals | not completed | unequal |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for name in models:
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
        if options.pairs:
            print("\n| verb | pairs of processes | refused | one after the other | lost |")
            print("|---|--:|--:|--:|--:|")
        for name in VERBS if options.pairs else ():
            verb = Verb(name, Path(mkdtemp(dir=base)), options.seed)
            verb.collide(options.pairs)
            numbers = [options.pairs, verb.refused, verb.one_after_the_other, len(verb.lost)]
            print(f"| {name} | {' | '.join(map(str, numbers))} |", flush=True)
            for line in verb.lost:
                print(f"{name}: {line}", file=sys.stderr, flush=True)
            failed += len(verb.lost)
    return 1 if failed else 0


def process() -> NoReturn:
    """Run `main` as a program."""
    raise SystemExit(main())


if __name__ == "__main__":
    process()
