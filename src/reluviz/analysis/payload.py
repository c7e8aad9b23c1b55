"""A recorded run as the interactive view reads it, with the bytes that TensorBoard's tab would get of it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reluviz.tab import series

if TYPE_CHECKING:
    from reluviz.analysis.run_arrays import RunArrays


def payload(run: "RunArrays", most: int | None = None) -> dict[str, bytes]:
    """Return the blobs data, params and scalars; of the snapshots `most` at most, the first and the last among them."""
    count = len(run.updates)
    # one place is for the last
    stride = 1 if most is None or count <= most else -(-(count - 1) // max(1, most - 1))
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
            {tag: (at.tolist(), at.tolist(), value.tolist()) for tag, (at, value) in run.recorded_scalars.items()}
        ),
    }


def _data(run: "RunArrays") -> bytes:
    data = run.data
    fields = {"x": data.x, "y": data.y}
    if data.target is not None:
        fields["target"] = data.target(data.x)
    if data.x_test is not None and data.y_test is not None:
        fields |= {"x_test": data.x_test, "y_test": data.y_test}
    told: dict[str, Any] = {
        "fields": [[name, len(value)] for name, value in fields.items()],
        "model": run.model,
        "name": data.name,
        "domain": list(data.domain),
        "trained": list(run.trained),
        "seeds": list(run.seeds),
        "settings": run.settings,
    }
    return series.encode_data(np.concatenate(list(fields.values())), told)
