"""A recorded run in the format of the interactive view, with the same bytes that TensorBoard's tab would receive."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reluviz.core.kinks import pieces_or_none
from reluviz.core.models import MODELS
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS
from reluviz.record.snapshot_events import kink_rows
from reluviz.tab import series

if TYPE_CHECKING:
    from reluviz.analysis.run_arrays import RunArrays


def payload(run: "RunArrays", max_snapshots: int | None = None) -> dict[str, bytes]:
    """Return the blobs data, params and scalars, and kinks of a chain if the view cannot hold all its parameters.

    Args:
        run: the run.
        max_snapshots: the largest number of snapshots to keep; the first and the last are always kept. None keeps as
            many as the view accepts.
    """
    count = len(run.updates)
    # rounded up, with one place reserved for the last snapshot
    stride = 1 if max_snapshots is None or count <= max_snapshots else -(-(count - 1) // max(1, max_snapshots - 1))
    kept = sorted({*range(0, count, stride), count - 1})
    snapshots = series.snapshots(
        run.updates[kept].tolist(),
        run.walls[kept].tolist(),
        run.rows[kept].__getitem__,
        [list(field) for field in run.fields],
        series.most_values(run.model),
    )
    kinks = {}
    if MODELS[run.model].architecture is not None and snapshots.stride > 1:
        kinks["kinks"] = series.encode_kinks(run.updates[kept].tolist(), lambda i: _kink_rows(run, kept[i]))
    return kinks | {
        "data": _data(run),
        "params": replace(snapshots, total=count, stride=stride * snapshots.stride).encode(),
        "scalars": series.encode_scalars(
            {tag: (at.tolist(), at.tolist(), value.tolist()) for tag, (at, value) in run.recorded_scalars.items()},
            run.findings,
        ),
    }


def _kink_rows(run: "RunArrays", snapshot: int) -> NDArray[np.float64]:
    """Return the rows of `tags.KINK_SERIES` of a snapshot, from its parameters: those that the run recorded."""
    record = MODELS[run.model]
    assert record.architecture is not None
    ends = np.cumsum([count for _, count in run.fields])[:-1]
    parts = np.split(run.rows[snapshot][:MAX_SHOWN_REPLICAS].astype(np.float64), ends, axis=-1)
    x = run.data.as_trained.x
    found = []
    for r in range(len(parts[0])):
        p = {
            name: part[r].reshape(record.shape(name, count))
            for (name, count), part in zip(run.fields, parts, strict=True)
        }
        found.append(pieces_or_none(record.architecture, p, float(x.min()), float(x.max())))
    return kink_rows(found)


def _data(run: "RunArrays") -> bytes:
    data = run.data
    fields = {"x": data.x, "y": data.y}
    if data.target is not None:
        fields["target"] = data.target(data.x)
    if data.x_test is not None and data.y_test is not None:
        fields |= {"x_test": data.x_test, "y_test": data.y_test}
    content: dict[str, Any] = {
        "fields": [[name, len(value)] for name, value in fields.items()],
        "model": run.model,
        "name": data.name,
        "domain": list(data.domain),
        "scaling": None if data.scaling.identity else data.scaling.numbers(),
        "trained": list(run.trained),
        "seeds": list(run.seeds),
        "settings": run.settings,
    }
    return series.encode_data(np.concatenate(list(fields.values())), content)
