"""A run as a CSV table and as NumPy arrays."""

import csv as csv_files
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.progress import Progress
from reluviz.analysis.run_arrays import losses_by_tag
from reluviz.core.models import MODELS
from reluviz.record import tags

if TYPE_CHECKING:
    from reluviz.analysis import Run

HEADER = ("run", "replica", "update", "unit", "quantity", "value")
FUNCTION_HEADER = ("run", "replica", "update", "x", "f")
DERIVED_QUANTITIES = ("elbow", "orientation", "active_slope", "slope_jump", "unit_status")
CHAIN_QUANTITIES = ("elbow", "orientation", "unit_status")
"""The derived quantities of a chain of several layers. The status counts the units of all layers, one after another."""


def csv(run: "Run", name: str, path: Path, progress: Progress) -> None:
    """Write a tidy table: each row holds one value, with its run, replica, update, unit and quantity.

    Replicas and units are counted from 0. The column `unit` is empty for quantities of the whole model; for a weight
    between two hidden layers it names the unit and the unit of the layer before, as 3:7. `replica` is empty for medians
    over the replicas, and `value` is empty where the value is NaN.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv_files.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for done, rows in enumerate(_rows_of_snapshots(run, name)):
            writer.writerows(rows)
            progress(done, len(run.updates))


def functions_csv(run: "Run", name: str, points: int, updates: Sequence[int], path: Path, progress: Progress) -> None:
    """Write the learned functions as a table: f at evenly spaced inputs, for each update and replica.

    Args:
        run: the run.
        name: its name in the table.
        points: the number of inputs, on the interval of the data.
        updates: the updates of the snapshots.
        path: the file.
        progress: is told how many updates are done.
    """
    x = np.linspace(*run.data.interval, points)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv_files.writer(file, lineterminator="\n")
        writer.writerow(FUNCTION_HEADER)
        for done, update in enumerate(updates):
            for r, values in enumerate(run.predict(x, update)):
                rows = zip(x.tolist(), values.tolist(), strict=True)
                writer.writerows((name, r, update, at, _cell(value)) for at, value in rows)
            progress(done, len(updates))


def npz(run: "Run", name: str, path: Path, progress: Progress) -> None:
    """Write data, parameters and quantities under the names that `Run` uses; losses as loss_train and loss_test.

    residual, norm and vote_share are those that were recorded; a run with many replicas records them for the first
    replicas only. A run on scaled data also has scaling: x0, s_x, y0, s_y.
    """
    data = run.data
    optional = {"x_test": data.x_test, "y_test": data.y_test}
    arrays: dict[str, Any] = {"x": data.x, "y": data.y, "recorded": run.recorded}
    arrays |= {key: value for key, value in optional.items() if value is not None}
    if data.target is not None:
        arrays["target"] = data.target(data.x)
    arrays |= {"run": np.array(name), "model": np.array(run.model), "seeds": np.array(run.seeds)}
    if not data.scaling.identity:
        arrays["scaling"] = np.array(data.scaling.numbers())
    arrays |= {"updates": run.updates, **_parameters(run), **_derived_quantities(run)}
    arrays |= {tag.replace("/", "_"): value for tag, value in losses_by_tag(run).items()}
    arrays |= {"residual": run.residual, "norm": run.norm, "vote_share": run.vote_share}
    np.savez_compressed(path, **arrays)


def _rows_of_snapshots(run: "Run", name: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of each snapshot in turn."""
    of_model: dict[str, NDArray[Any]] = losses_by_tag(run)
    parameters = _parameters(run)
    of_model |= {key: value for key, value in parameters.items() if value.ndim == 2}
    of_units = {key: value for key, value in parameters.items() if value.ndim > 2} | _derived_quantities(run)
    medians = {tag: _values_by_update(run, tag) for tag in tags.MEDIAN_SCALARS if tag in run.tags}
    replica_of_median = 0 if len(run.seeds) == 1 else ""
    for s, update in enumerate(run.updates.tolist()):
        rows: list[tuple[Any, ...]] = [
            (name, replica_of_median, update, "", tag, _cell(values[update]))
            for tag, values in medians.items()
            if update in values
        ]
        for r in range(len(run.seeds)):
            rows += [(name, r, update, "", key, _cell(float(value[s, r]))) for key, value in of_model.items()]
            for key, value in of_units.items():
                units = _unit_labels(value.shape[2:])
                cells = zip(units, value[s, r].ravel().tolist(), strict=True)
                rows += [(name, r, update, unit, key, _cell(one)) for unit, one in cells]
        yield rows


def _parameters(run: "Run") -> dict[str, NDArray[Any]]:
    """Return the parameters of the function of the user's x."""
    return {name: run.parameter(name) for name in run.parameters}


@functools.cache
def _unit_labels(shape: tuple[int, ...]) -> list[int | str]:
    """Return the labels of units, [W], or of the weights between two layers, [W_l W_(l-1)]."""
    if len(shape) == 1:
        return list(range(shape[0]))
    return [f"{k}:{j}" for k in range(shape[0]) for j in range(shape[1])]


def _derived_quantities(run: "Run") -> dict[str, NDArray[Any]]:
    record = MODELS[run.model]
    quantities = DERIVED_QUANTITIES if record.has_units else CHAIN_QUANTITIES if record.architecture else ()
    return {key: getattr(run, key) for key in quantities}


def _values_by_update(run: "Run", tag: str) -> dict[int, float]:
    updates, values = run.scalars(tag)
    return dict(zip(updates.tolist(), values.tolist(), strict=True))


def _cell(value: float) -> float | str:
    return "" if value != value else value
