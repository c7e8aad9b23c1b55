"""The groups of a report as runs in TensorBoard: medians and quartiles at every snapshot, drawn as bands."""

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from reluviz.analysis.report.groups import Group, Groups
from reluviz.analysis.report.output_folder import claim
from reluviz.errors import UserError
from reluviz.record import tags
from reluviz.record.event_file import EventFile

MOST = 200
"""Groups: with more runs TensorBoard's charts can no longer be read."""
FEWEST = 2
"""Replicas that make a band."""
LONGEST = 120


def write(study: Groups, folder: Path) -> list[Path]:
    """Write the groups as runs into a folder, which is replaced as a whole, and return their folders.

    The tags are those of a run with replicas: loss/test is the median, loss/test/q25 and loss/test/q75 the quartiles.

    Args:
        study: what is written; groups of one replica are left out, whose run is there already.
        folder: where to; nothing else is kept there.

    Raises:
        UserError: if it cannot be written.
    """
    groups = [group for group in study.groups if len(group.replicas) >= FEWEST and len(group.updates)][:MOST]
    beside, before = (folder.with_name(f".{folder.name}.{word}") for word in ("part", "old"))
    try:
        for stale in (beside, before):
            shutil.rmtree(stale, ignore_errors=True)
        claim(beside)
        names = list(_names(groups))
        for name, group in zip(names, groups, strict=True):
            _write(group, beside / name)
        if folder.exists():
            os.replace(folder, before)
        if groups:
            os.replace(beside, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        for stale in (beside, before):
            shutil.rmtree(stale, ignore_errors=True)
    return [folder / name for name in names]


def _names(groups: Sequence[Group]) -> Iterator[str]:
    """Yield a folder's name for each group, which tells it from the others: width-10_optimizer-adam."""
    taken: set[str] = set()
    for group in groups:
        keys = list(group.settings)
        last = [key.rpartition(".")[2] for key in keys]
        short = [one if last.count(one) == 1 else key for key, one in zip(keys, last, strict=True)]
        words = "_".join(f"{key}-{value}" for key, value in zip(short, group.settings.values(), strict=True))
        safe = re.sub(r"[^A-Za-z0-9_.+-]+", "-", words).strip(".-")[:LONGEST] or "all"
        # file systems may take capitals for small letters
        name = next(name for name in _numbered(safe) if name.lower() not in taken)
        taken.add(name.lower())
        yield name


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _write(group: Group, folder: Path) -> None:
    bands = {tag: group.band(tag) for tag in group.curves}
    file = EventFile(str(folder))
    try:
        file.add_event(_event(0, [_layout(sorted(bands))]))
        for at, update in enumerate(group.updates.tolist()):
            file.add_event(
                _event(
                    update,
                    [
                        Summary.Value(tag=name, simple_value=value)
                        for tag, band in bands.items()
                        for name, value in zip(_three(tag), band[:, at].tolist(), strict=True)
                        if not np.isnan(value)
                    ],
                )
            )
    finally:
        file.close()


def _event(update: int, values: Sequence[Any]) -> Event:
    return Event(wall_time=time.time(), step=update, summary=Summary(value=values))


def _three(tag: str) -> tuple[str, str, str]:
    low, high = (f"{tag}/{q}" for q in tags.QUARTILES)
    return low, tag, high


def _layout(curves: Sequence[str]) -> Any:
    """Return the layout of the custom-scalars tab: a chart with a band for each curve, as runs with replicas have."""
    charts = []
    for tag in curves:
        low, middle, high = _three(tag)
        series = layout_pb2.MarginChartContent.Series(value=middle, lower=low, upper=high)
        content = layout_pb2.MarginChartContent(series=[series])
        charts.append(layout_pb2.Chart(title=f"{tag}: median and quartiles", margin=content))
    layout = layout_pb2.Layout(category=[layout_pb2.Category(title="replicas", chart=charts)])
    return Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME)),
        tensor=TensorProto(dtype="DT_STRING", string_val=[layout.SerializeToString()]),
    )
