"""A run in Jupyter: a card of words, and the interactive view."""

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from reluviz.analysis.payload import payload
from reluviz.tab import html_file

if TYPE_CHECKING:
    from reluviz.analysis.run_arrays import RunArrays

MOST_SNAPSHOTS = 2000
"""A notebook keeps what it shows: of a longer run it gets so many, spread evenly."""
HEIGHT = 720


def html(run: "RunArrays") -> str:
    """Return the card, and below it the view in a frame of its own."""
    return _card(run) + _view(run)


def _view(run: "RunArrays") -> str:
    whole = html_file.html({run.name: payload(run, MOST_SNAPSHOTS)})
    # a frame, since scripts and styles of a notebook and of the view would get in each other's way
    return f'<iframe srcdoc="{escape(whole)}" style="width:100%;height:{HEIGHT}px;border:0"></iframe>'


def _card(run: "RunArrays") -> str:
    samples = f"{len(run.data.x):,} points"
    replicas = f"{len(run.seeds)} replicas, " if len(run.seeds) > 1 else ""
    seeds = f"seed{'s' * (len(run.seeds) > 1)} {', '.join(map(str, run.seeds[:8]))}{', …' * (len(run.seeds) > 8)}"
    rows = {
        "model": f"{run.model}, {run.input_slope.shape[-1]:,} units" if run.model == "relu" else run.model,
        "data": f"{run.data.name}, {samples}",
        "runs": f"{replicas}{seeds}",
        "snapshots": f"{len(run.updates):,}, up to update {run.updates[-1]:,}",
        "status": run.status or "not ended",
    }
    last = run.snapshot()
    rows["loss/train"] = f"{np.median(last.loss_train.numpy()):.6g}"
    if last.loss_test is not None:
        rows["loss/test"] = f"{np.median(last.loss_test.numpy()):.6g}"
    if run.damaged:
        rows["damaged"] = ", ".join(path.name for path in run.damaged)
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(key)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for key, value in rows.items()
    )
    return f"<table><caption>{escape(run.name)}</caption>{lines}</table>"
