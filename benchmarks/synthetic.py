"""Any number of runs from a few short real ones: copied, with seeds and losses of their own, some of them damaged."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PREFIX = "events.out.tfevents."
SWEEP = ("+exp=optimizers", "-m", "replicas=1", "callbacks=minimal")


def templates(folder: Path, *overrides: str) -> list[Path]:
    """Train the nine short runs of +exp=optimizers, one replica each, and return their folders."""
    command = [sys.executable, "-m", "reluviz", "train", *SWEEP, *overrides, "hydra.sweep.dir=templates"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return sorted(path.parent for path in (folder / "templates").glob("*/metrics.json"))


@dataclass
class Tree:
    """What was written.

    Attributes:
        final: name of a template -> test losses at the end that a report is to find, diverged ones infinite.
        left: folder -> what is to be said of the run there.
        size: bytes of all files, about.
    """

    final: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    left: dict[Path, str] = field(default_factory=dict)
    size: int = 0

    def counts(self) -> Counter[str]:
        """Return how many runs are left out or incomplete, by what is to be said of them."""
        return Counter(self.left.values())


def _unfinished(run: Path) -> None:
    (run / "metrics.json").unlink()


def _diverged(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics |= {"status": "diverged", "loss/train": [None], "loss/test": [None]}
    (run / "metrics.json").write_text(json.dumps(metrics))


def _failed(run: Path) -> None:
    for path in run.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (run / "failure.json").write_text(json.dumps({"overrides": ["model.width=0"], "reason": "model.width=0: too few"}))


def _cut(name: str) -> Callable[[Path], None]:
    def cut(run: Path) -> None:
        (path,) = run.glob(f"{name}*")
        os.truncate(path, path.stat().st_size // 2)

    return cut


def _emptied(name: str) -> Callable[[Path], None]:
    def emptied(run: Path) -> None:
        (path,) = run.glob(f"{name}*")
        os.truncate(path, 0)

    return emptied


def _garbled(run: Path) -> None:
    (path,) = run.glob(f"{PREFIX}*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _hollow(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir()


def _mangled(run: Path) -> None:
    (run / ".hydra" / "config.yaml").write_text("name: [\nseed: {\n")


def _in_place(name: str) -> Callable[[Path], None]:
    def put(run: Path) -> None:
        (path,) = run.glob(f"{name}*")
        path.unlink()
        path.mkdir()

    return put


def _changed(**values: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(metrics | values))

    return change


def _short(run: Path) -> None:
    (path,) = run.glob(f"{PREFIX}*")
    os.truncate(path, path.stat().st_size - 7)


DAMAGE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "unfinished": ("unfinished", _unfinished),
    "diverged": ("diverged", _diverged),
    "failed": ("failed", _failed),
    "events cut off": ("damaged", _cut(PREFIX)),
    "events garbled": ("damaged", _garbled),
    "events empty": ("damaged", _emptied(PREFIX)),
    "events without their last bytes": ("damaged", _short),
    "a folder for events": ("damaged", _in_place(PREFIX)),
    "a folder for metrics": ("damaged", _in_place("metrics.json")),
    "metrics that are no numbers": ("damaged", _changed(**{"loss/test": [math.nan]})),
    "metrics of another kind": ("damaged", _changed(units=None)),
    "metrics cut off": ("damaged", _cut("metrics.json")),
    "metrics empty": ("damaged", _emptied("metrics.json")),
    "settings cut off": ("damaged", _cut(".hydra/config.yaml")),
    "settings mangled": ("damaged", _mangled),
    "choices cut off": ("damaged", _cut(".hydra/hydra.yaml")),
    "nothing there": ("damaged", _hollow),
}
"""Kinds of damage: what a report is to say of the run, and how it comes about."""


def write(folder: Path, originals: list[Path], count: int, damaged: float = 0.05) -> Tree:
    """Write runs into a folder, in one sweep for each seed; every template gets the same seeds.

    Args:
        folder: where to.
        originals: the runs to copy, of one replica each.
        count: how many runs.
        damaged: which part of them is damaged, all kinds in turn.
    """
    tree, kinds = Tree(), _in_turn()
    read = {path: _Original(path) for path in originals}
    generator = np.random.default_rng(0)
    harmed = set(generator.permutation(count)[: round(damaged * count)].tolist())
    for number in range(count):
        seed, which = divmod(number, len(originals))
        original = read[originals[which]]
        run = folder / f"seed {seed}" / original.name
        loss = original.copy(run, seed, float(generator.lognormal(sigma=0.1)))
        tree.size += original.size
        if number in harmed:
            why, harm = next(kinds)
            harm(run)
            tree.left[run] = why
            if why == "diverged":
                tree.final[original.name].append(np.inf)
        else:
            tree.final[original.name].append(loss)
    return tree


class _Original:
    """A run that is kept in memory to be copied."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.files = {
            file.relative_to(path): file.read_bytes()
            for file in path.rglob("*")
            if file.is_file() and file.suffix != ".ckpt"
        }
        self.size = sum(map(len, self.files.values()))
        self.metrics: dict[str, Any] = json.loads(self.files[Path("metrics.json")])

    def copy(self, run: Path, seed: int, factor: float) -> float:
        """Write the run with another seed, its losses times a factor; return its test loss."""
        losses = {key: [factor * value for value in self.metrics[key]] for key in ("loss/train", "loss/test")}
        changed = {
            Path("metrics.json"): json.dumps({**self.metrics, **losses, "seeds": [seed]}, indent=2).encode(),
            Path(".hydra/config.yaml"): self.files[Path(".hydra/config.yaml")].replace(
                b"\nseed: 0\n", f"\nseed: {seed}\n".encode()
            ),
        }
        (run / ".hydra").mkdir(parents=True)
        (run / "checkpoints").mkdir()
        for name, content in {**self.files, **changed}.items():
            (run / name).write_bytes(content)
        return losses["loss/test"][0]


def _in_turn() -> Iterator[tuple[str, Callable[[Path], None]]]:
    while True:
        yield from DAMAGE.values()
