"""A recorded run in the format of the interactive view, with the same bytes that TensorBoard's tab would receive."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reluviz.tab import series

if TYPE_CHECKING:
    from reluviz.analysis.run_arrays import RunArrays


def payload(run: "RunArrays", max_snapshots: int | None = None) -> dict[str, bytes]:
    """Return the blobs data, params and scalars.

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
    )
    return {
        "data": _data(run),
        "params": replace(snapshots, total=count, stride=stride * snapshots.stride).encode(),
        "scalars": series.encode_scalars(
            {tag: (at.tolist(), at.tolist(), value.tolist()) for tag, (at, value) in run.recorded_scalars.items()},
            run.findings,
        ),
    }


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
