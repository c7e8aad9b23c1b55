"""A run as a table and as arrays."""

import csv as csv_files
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.run_arrays import OF_UNITS, losses
from reluviz.record import tags

if TYPE_CHECKING:
    from reluviz.analysis import Run

HEADER = ("run", "replica", "update", "unit", "quantity", "value")
DERIVED = ("elbow", "orientation", "active_slope", "slope_jump", "unit_status")
RECORDED = (tags.LOSS_BATCH, tags.GRAD_NORM, tags.NOISE_SCALE, tags.VOTES_EFFECTIVE, tags.THETA_OPTIMUM)
"""Scalars that a run records only as one number: with several replicas their median."""

Progress = Callable[[int, int], None]


def csv(run: "Run", label: str, path: Path, progress: Progress) -> None:
    """Write a tidy table: one value in a row, with the run, replica, update, unit and quantity that it is of.

    Replicas and units count from 0. The unit is empty for what is no unit's, the replica for medians over all of
    them, and the value where there is none (NaN).
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv_files.writer(file, lineterminator="\n")
        rows.writerow(HEADER)
        for done, some in enumerate(_rows(run, label)):
            rows.writerows(some)
            progress(done, len(run.updates))


def npz(run: "Run", label: str, path: Path, progress: Progress) -> None:
    """Write data, parameters and quantities as the arrays that `Run` has; losses as loss_train and loss_test.

    Of many replicas residual, norm and vote_share are those of the first only, as they were recorded.
    """
    data = run.data
    optional = {"x_test": data.x_test, "y_test": data.y_test}
    arrays: dict[str, Any] = {"x": data.x, "y": data.y, "recorded": run.recorded}
    arrays |= {name: value for name, value in optional.items() if value is not None}
    if data.target is not None:
        arrays["target"] = data.target(data.x)
    arrays |= {"run": np.array(label), "model": np.array(run.model), "seeds": np.array(run.seeds)}
    arrays |= {"updates": run.updates, **run.parameters, **_derived(run)}
    arrays |= {tag.replace("/", "_"): value for tag, value in losses(run).items()}
    arrays |= {"residual": run.residual, "norm": run.norm, "vote_share": run.vote_share}
    np.savez_compressed(path, **arrays)


def _rows(run: "Run", label: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of one snapshot after another."""
    whole: dict[str, NDArray[Any]] = losses(run)
    whole |= {name: value for name, value in run.parameters.items() if name not in OF_UNITS}
    of_units: dict[str, NDArray[Any]] = {name: run.parameters[name] for name in OF_UNITS if name in run.parameters}
    of_units |= _derived(run)
    recorded = {tag: _recorded(run, tag) for tag in RECORDED if tag in run.tags}
    everybody = 0 if len(run.seeds) == 1 else ""
    for s, update in enumerate(run.updates.tolist()):
        rows: list[tuple[Any, ...]] = [
            (label, everybody, update, "", tag, _cell(series[update]))
            for tag, series in recorded.items()
            if update in series
        ]
        for r in range(len(run.seeds)):
            rows += [(label, r, update, "", name, _cell(float(value[s, r]))) for name, value in whole.items()]
            for name, value in of_units.items():
                rows += [(label, r, update, k, name, _cell(one)) for k, one in enumerate(value[s, r].tolist())]
        yield rows


def _derived(run: "Run") -> dict[str, NDArray[Any]]:
    return {name: getattr(run, name) for name in DERIVED} if run.model == "relu" else {}


def _recorded(run: "Run", tag: str) -> dict[int, float]:
    updates, values = run.scalars(tag)
    return dict(zip(updates.tolist(), values.tolist(), strict=True))


def _cell(value: float) -> float | str:
    return "" if value != value else value
