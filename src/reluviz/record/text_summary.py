"""A run in words: its settings as plain values, and as a Markdown page for TensorBoard's text tab."""

from collections.abc import Mapping
from typing import Any

from reluviz.core.snapshot_torch import Snapshot


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level of dotted names with plain values, leaving out what is None.

    A node's `_target_` becomes the node's own value: optimizer SGD, optimizer.lr 0.02.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "_target_":
            found[prefix.rstrip(".")] = str(value).rpartition(".")[2]
        elif isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool | list | tuple):
            found[prefix + name] = str(value)
        elif value is not None:
            found[prefix + name] = value
    return found


def markdown(settings: Mapping[str, Any], last: Snapshot | None) -> str:
    """Return a run's settings and, where it has been trained, its results in Markdown."""
    lines = []
    if last is not None:
        lines += [f"### After {last.update:,} updates", "", "| quantity | median over replicas |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in _results(last).items()]
        lines += [""]
    lines += ["### Settings", "", "| key | value |", "|---|---|"]
    lines += [f"| `{name}` | {value} |" for name, value in settings.items()]
    return "\n".join(lines)


def _results(last: Snapshot) -> dict[str, str]:
    shown = {"loss/train": f"{float(last.loss_train.median()):.6g}"}
    if last.loss_test is not None:
        shown["loss/test"] = f"{float(last.loss_test.median()):.6g}"
    shown["gradient norm"] = f"{float(last.votes.gradient_norm.median()):.4g}"
    shown["effective votes"] = f"{float(last.votes.effective.median()):.1f} of {len(last.x):,}"
    if last.model == "relu":
        shown["units"] = ", ".join(f"{int(n.median())} {name}" for name, n in last.unit_counts.items())
    else:
        shown["theta"] = f"{float(last.parameters['theta'].median()):.6g}"
    return shown
