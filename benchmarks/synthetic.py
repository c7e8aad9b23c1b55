"""Writes copies of a few short real runs, with different seeds and losses, some of them damaged."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
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
    """The runs that were written, and what a report should find.

    Attributes:
        final: name of a template -> the final test losses of its copies, infinite for diverged runs.
        left: folder -> why its run is left out or incomplete.
        size: the approximate size of all files in bytes.
    """

    final: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    left: dict[Path, str] = field(default_factory=dict)
    size: int = 0

    def counts(self) -> Counter[str]:
        """Return how many runs are left out or incomplete, by the reason."""
        return Counter(self.left.values())


def _remove_metrics(run: Path) -> None:
    (run / "metrics.json").unlink()


def _mark_diverged(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics |= {"status": "diverged", "loss/train": [None], "loss/test": [None]}
    (run / "metrics.json").write_text(json.dumps(metrics))


def _mark_failed(run: Path) -> None:
    for path in run.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (run / "failure.json").write_text(json.dumps({"overrides": ["model.width=0"], "reason": "model.width=0: too few"}))


def _halve(name: str) -> Callable[[Path], None]:
    def halve(run: Path) -> None:
        (path,) = run.glob(f"{name}*")
        os.truncate(path, path.stat().st_size // 2)

    return halve


def _empty(name: str) -> Callable[[Path], None]:
    def empty(run: Path) -> None:
        (path,) = run.glob(f"{name}*")
        os.truncate(path, 0)

    return empty


def _flip_bits(run: Path) -> None:
    (path,) = run.glob(f"{PREFIX}*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _empty_folder(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir()


def _invalid_yaml(run: Path) -> None:
    (run / ".hydra" / "config.yaml").write_text("name: [\nseed: {\n")


def _replace_by_folder(name: str) -> Callable[[Path], None]:
    def replace(run: Path) -> None:
        (path,) = run.glob(f"{name}*")
        path.unlink()
        path.mkdir()

    return replace


def _change_metrics(**values: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(metrics | values))

    return change


def _remove_last_bytes(run: Path) -> None:
    (path,) = run.glob(f"{PREFIX}*")
    os.truncate(path, path.stat().st_size - 7)


DAMAGE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "unfinished": ("unfinished", _remove_metrics),
    "diverged": ("diverged", _mark_diverged),
    "failed": ("failed", _mark_failed),
    "events cut off": ("damaged", _halve(PREFIX)),
    "events garbled": ("damaged", _flip_bits),
    "events empty": ("damaged", _empty(PREFIX)),
    "events without their last bytes": ("damaged", _remove_last_bytes),
    "a folder for events": ("damaged", _replace_by_folder(PREFIX)),
    "a folder for metrics": ("damaged", _replace_by_folder("metrics.json")),
    "metrics that are no numbers": ("damaged", _change_metrics(**{"loss/test": [math.nan]})),
    "metrics of another kind": ("damaged", _change_metrics(units=None)),
    "metrics cut off": ("damaged", _halve("metrics.json")),
    "metrics empty": ("damaged", _empty("metrics.json")),
    "settings cut off": ("damaged", _halve(".hydra/config.yaml")),
    "settings mangled": ("damaged", _invalid_yaml),
    "choices cut off": ("damaged", _halve(".hydra/hydra.yaml")),
    "nothing there": ("damaged", _empty_folder),
}
"""Kind of damage -> the reason that a report should give, and the function that damages a run."""


def write(folder: Path, originals: list[Path], count: int, damaged: float = 0.05) -> Tree:
    """Write runs into a folder, in one sweep for each seed; every template gets the same seeds.

    Args:
        folder: the folder.
        originals: the runs to copy, with one replica each.
        count: the number of runs.
        damaged: the fraction of damaged runs, with all kinds of damage in turn.
    """
    tree, kinds = Tree(), itertools.cycle(DAMAGE.values())
    read = {path: _Original(path) for path in originals}
    generator = np.random.default_rng(0)
    to_damage = set(generator.permutation(count)[: round(damaged * count)].tolist())
    for number in range(count):
        seed, which = divmod(number, len(originals))
        original = read[originals[which]]
        run = folder / f"seed {seed}" / original.name
        loss = original.copy(run, seed, float(generator.lognormal(sigma=0.1)))
        tree.size += original.size
        if number in to_damage:
            why, damage = next(kinds)
            damage(run)
            tree.left[run] = why
            if why == "diverged":
                tree.final[original.name].append(np.inf)
        else:
            tree.final[original.name].append(loss)
    return tree


class _Original:
    """A run held in memory to be copied."""

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
        """Write a copy with another seed and with all losses multiplied by a factor; return its test loss."""
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
