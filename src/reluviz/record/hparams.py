"""A run's settings and results for two of TensorBoard's tabs: HParams, and Text (a Markdown page)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import summary as summaries

from reluviz.core.findings import Finding
from reluviz.core.models import MODELS
from reluviz.core.snapshot import Snapshots
from reluviz.record import tags

MAIN_SETTINGS = {
    "model": DATA_TYPE_STRING,
    "model.width": DATA_TYPE_FLOAT64,
    "optimizer": DATA_TYPE_STRING,
    "optimizer.lr": DATA_TYPE_FLOAT64,
    "sampler.batch_size": DATA_TYPE_FLOAT64,
}
"""Settings that distinguish runs, with their types. The HParams tab shows five columns: first the settings marked
`differs`, sorted by name."""


def session_start(settings: Mapping[str, Any], metrics: Sequence[str]) -> list[Any]:
    """Return the summary values that open a session of the HParams tab.

    TensorBoard uses the description of the first run that it finds for all runs. So every run describes all of
    `MAIN_SETTINGS`, including those that it does not have.

    Args:
        settings: flat names to plain values.
        metrics: tags of scalars; the last value of each is a result of the session.
    """
    experiment, session, _ = summaries.hparams(dict(settings), {})
    infos = [HParamInfo(name=name, type=kind, differs=True) for name, kind in MAIN_SETTINGS.items()]
    infos += [
        HParamInfo(name=name, type=DATA_TYPE_STRING if isinstance(value, str) else DATA_TYPE_FLOAT64)
        for name, value in settings.items()
        if name not in MAIN_SETTINGS
    ]
    described = Experiment(hparam_infos=infos, metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in metrics])
    data = HParamsPluginData(experiment=described, version=PLUGIN_DATA_VERSION)
    value = Summary.Value()
    value.CopyFrom(experiment.value[0])
    value.metadata.plugin_data.content = data.SerializeToString()
    return [value, *session.value]


def session_end(settings: Mapping[str, Any]) -> list[Any]:
    """Return the summary values that close a session of the HParams tab."""
    return list(summaries.hparams(dict(settings), {})[2].value)


def summary_markdown(settings: Mapping[str, Any], last: Snapshots | None, findings: Sequence[Finding] = ()) -> str:
    """Return a run's settings and, if a last snapshot is given, its findings and results in Markdown."""
    lines = []
    if findings:
        lines += ["### What became of the run", "", *(f"- {finding.line}" for finding in findings), ""]
    if last is not None:
        lines += [f"### After {last.updates[0]:,} updates", "", "| quantity | median over replicas |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in _results(last).items()]
        lines += [""]
    lines += ["### Settings", "", "| key | value |", "|---|---|"]
    lines += [f"| `{name}` | {value} |" for name, value in settings.items()]
    return "\n".join(lines)


def _results(last: Snapshots) -> dict[str, str]:
    """Return the medians over the replicas at a snapshot, formatted."""
    shown = {tags.LOSS_TRAIN: f"{median(last.loss_train):.6g}"}
    if last.loss_test is not None:
        shown[tags.LOSS_TEST] = f"{median(last.loss_test):.6g}"
    units = "" if last.dataset.scaling.identity else ", in the units of training"
    shown[f"gradient norm{units}"] = f"{median(last.votes.gradient_norm):.4g}"
    shown["effective votes"] = f"{median(last.votes.effective):.1f} of {len(last.dataset.x):,}"
    if last.units is not None:
        shown["units"] = ", ".join(f"{int(median(n))} {name}" for name, n in last.unit_counts.items())
    else:
        shown |= {name: f"{median(last.parameters[name]):.6g}" for name in MODELS[last.model].parameters}
    return shown


def median(values: NDArray[Any]) -> float:
    """Return the median; of an even number of values the lower one of the two in the middle."""
    return float(np.percentile(values, 50, method="lower"))
