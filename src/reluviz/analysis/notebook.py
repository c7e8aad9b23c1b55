"""A run in a Jupyter notebook: a table that describes it, and the interactive view."""

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from reluviz.analysis.payload import payload
from reluviz.core.models import MODELS
from reluviz.record import tags
from reluviz.tab import html_file

if TYPE_CHECKING:
    from reluviz.analysis.run_arrays import RunArrays

MAX_SNAPSHOTS = 2000
"""A notebook file stores its output. Of a longer run it gets this many snapshots, evenly spaced."""
VIEW_HEIGHT = 720
"""In CSS pixels."""


def html(run: "RunArrays") -> str:
    """Return the table, followed by the interactive view in a frame."""
    return _table(run) + _view(run)


def _view(run: "RunArrays") -> str:
    page = html_file.html({run.name: payload(run, MAX_SNAPSHOTS)})
    # the frame keeps the scripts and styles of the notebook and of the view separate
    return f'<iframe srcdoc="{escape(page)}" style="width:100%;height:{VIEW_HEIGHT}px;border:0"></iframe>'


def _table(run: "RunArrays") -> str:
    samples = f"{len(run.data.x):,} points"
    replicas = f"{len(run.seeds)} replicas, " if len(run.seeds) > 1 else ""
    seeds = f"seed{'s' * (len(run.seeds) > 1)} {', '.join(map(str, run.seeds[:8]))}{', …' * (len(run.seeds) > 8)}"
    rows = {
        "model": f"{run.model}, {run.input_slope.shape[-1]:,} units" if MODELS[run.model].has_units else run.model,
        "data": f"{run.data.name}, {samples}",
        "runs": f"{replicas}{seeds}",
        "snapshots": f"{len(run.updates):,}, up to update {run.updates[-1]:,}",
        "status": run.status or "not ended",
    }
    last = run.snapshot()
    rows[tags.LOSS_TRAIN] = f"{np.median(last.loss_train):.6g}"
    if last.loss_test is not None:
        rows[tags.LOSS_TEST] = f"{np.median(last.loss_test):.6g}"
    if run.damaged:
        rows["damaged"] = ", ".join(path.name for path in run.damaged)
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(key)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for key, value in rows.items()
    )
    return f"<table><caption>{escape(run.name)}</caption>{lines}</table>"
