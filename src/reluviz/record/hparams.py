"""The HParams tab: which settings it shows first, and where it finds the results."""

from collections.abc import Mapping, Sequence
from typing import Any

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

FIRST = {
    "model": DATA_TYPE_STRING,
    "model.width": DATA_TYPE_FLOAT64,
    "optimizer": DATA_TYPE_STRING,
    "optimizer.lr": DATA_TYPE_FLOAT64,
    "sampler.batch_size": DATA_TYPE_FLOAT64,
}
"""Settings that tell runs apart. TensorBoard shows five columns, in the order of `differs` and then of names."""


def start(settings: Mapping[str, Any], metrics: Sequence[str]) -> list[Any]:
    """Return the summary values that open a session.

    TensorBoard takes the description of one run, whichever it finds first, for all of them: so every run
    describes the settings of `FIRST`, also those that it does not have.

    Args:
        settings: flat names to plain values.
        metrics: tags of scalars whose last values are the session's results.
    """
    experiment, session, _ = summaries.hparams(dict(settings), {})
    infos = [HParamInfo(name=name, type=kind, differs=True) for name, kind in FIRST.items()]
    infos += [
        HParamInfo(name=name, type=DATA_TYPE_STRING if isinstance(value, str) else DATA_TYPE_FLOAT64)
        for name, value in settings.items()
        if name not in FIRST
    ]
    described = Experiment(hparam_infos=infos, metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in metrics])
    data = HParamsPluginData(experiment=described, version=PLUGIN_DATA_VERSION)
    value = Summary.Value()
    value.CopyFrom(experiment.value[0])
    value.metadata.plugin_data.content = data.SerializeToString()
    return [value, *session.value]


def end(settings: Mapping[str, Any]) -> list[Any]:
    """Return the summary values that close a session."""
    return list(summaries.hparams(dict(settings), {})[2].value)
