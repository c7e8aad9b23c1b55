"""Estimates the memory of a run before anything is built or written, and refuses a run that cannot fit.

The numbers of bytes are nine tenths of what runs of each kind were measured to take at their peak, or less, so that
no run is refused that would fit.

Legend of shapes: R replicas, N training points, n recorded points, B batch, W hidden units, P parameters of a replica.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reluviz.core.models.architecture import Architecture
from reluviz.core.snapshot import MAX_RECORDED_SAMPLES
from reluviz.core.theory.output_problem import MAX_DENSE_SAMPLES
from reluviz.errors import UserError

BASE_BYTES = 350e6
"""For Python and its packages."""
POINT_BYTES = 90
"""For a training point: x and y as read and as trained, in the run's precision, and the sums of the exact engine."""
TARGET_POINT_BYTES = 130
"""For a point of a data set with a known function, beside that: noise, and a test point."""
PARAMETER_BYTES = 300
"""For a parameter: its copies, the optimiser's, those of snapshots that wait, and what a snapshot computes of it."""
INDEX_BYTES = 8
"""For a point of a minibatch: its index."""
ACTIVATION_BYTES = 8
"""For a hidden activation of a minibatch, where PyTorch computes the gradients."""
VOTE_BYTES = 48
"""For a recorded point and a hidden unit: the contributions to its three parameters."""
FEATURE_BYTES = 24
"""For a point and a hidden unit in the reference values: the features and their decomposition."""


def check_memory(settings: Mapping[str, Any], points: int | None = None) -> None:
    """Check that a run can fit into the memory that is available.

    Args:
        settings: the configuration as plain values.
        points: N; by default `data.n`, or unknown if there is no such key.

    Raises:
        UserError: if it cannot; the message has the estimate, and names the settings with most of it.
    """
    available = available_bytes()
    if available is None:
        return
    drawn = _value(settings, "data.n")
    needed = memory_of(settings, points or drawn, drawn is not None)
    total = BASE_BYTES + sum(needed.values())
    if total > available:
        names = max(needed, key=lambda keys: needed[keys])
        found = {key: _value(settings, key) for key in names}
        shown = (
            f"{key}={f'[{len(value):,} numbers]' if isinstance(value, list) else value}"
            for key, value in found.items()
            if value not in (None, 1)
        )
        raise UserError(
            f"{' '.join(shown)}: the run would take about"
            f" {_gigabytes(total)} of memory, and {_gigabytes(available)} are available"
        )


def memory_of(settings: Mapping[str, Any], points: int | None, target_known: bool) -> dict[tuple[str, ...], float]:
    """Return the bytes of the parts of a run, each under the settings that decide on it.

    Args:
        settings: the configuration as plain values.
        points: N; None if it is unknown.
        target_known: whether the data set has a known function, so that it has noise and test points.
    """
    seeds, hidden = _value(settings, "seeds"), _value(settings, "model.hidden")
    width_key = "model.width" if hidden is None else "model.hidden"
    if isinstance(hidden, list) and all(isinstance(one, int) for one in hidden):
        width, parameters = sum(hidden), Architecture(tuple(hidden)).parameters
    else:
        width = _value(settings, "model.width") or 0
        parameters = 3 * width + 1 if isinstance(width, int) else 0
    replicas = _value(settings, "replicas") if seeds is None else len(seeds)
    batch, samples = _value(settings, "sampler.batch_size") or 0, points or 0
    if not all(isinstance(value, int) for value in (replicas, width, samples, batch)):
        # a class of the user's own may mean anything by these names
        return {(): 0.0}
    replica_key = "replicas" if seeds is None else "seeds"
    recorded, dense = min(samples, MAX_RECORDED_SAMPLES), min(samples, max(MAX_DENSE_SAMPLES, width + 1))
    # full batches have no indices
    activations = (batch or samples) * width if settings["engine"] == "reference" else 0
    return {
        ("data.n", "data.path"): samples * (POINT_BYTES + target_known * TARGET_POINT_BYTES),
        (replica_key, width_key): replicas * parameters * PARAMETER_BYTES,
        (replica_key, "sampler.batch_size" if batch else "data.n", width_key): replicas
        * (batch * INDEX_BYTES + activations * ACTIVATION_BYTES),
        (width_key, "data.n", "data.path"): width * (recorded * VOTE_BYTES + dense * FEATURE_BYTES),
    }


def available_bytes() -> float | None:
    """Return how much memory this process may take; None where the system does not tell.

    On Linux that is free memory and swap, within the limits of the process and of its control group. On other
    systems it is all memory of the computer.
    """
    found = []
    if sys.platform == "linux":
        lines = dict(line.split(":", 1) for line in _text("/proc/meminfo").splitlines() if ":" in line)
        if "MemAvailable" in lines:
            found.append(sum(1024 * _first_number(lines.get(name, "")) for name in ("MemAvailable", "SwapFree")))
        limits = ("memory.max", "memory/memory.limit_in_bytes")
        found += [limit for name in limits if (limit := _first_number(_text(f"/sys/fs/cgroup/{name}")))]
    elif hasattr(os, "sysconf") and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        found.append(float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that there is not enough memory: NumPy's and Python's, or one of torch's."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in words)
    )


def _value(settings: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key; None if there is none."""
    found: Any = settings
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"


def _text(path: str) -> str:
    """Return the content of a file; empty if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _first_number(text: str) -> float:
    """Return the whole number at the beginning of a text; 0 if there is none, as in "max"."""
    word = (text.split() or [""])[0]
    return float(word) if word.isdecimal() else 0.0
