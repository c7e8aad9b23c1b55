"""The groups of a report as TensorBoard runs: median and quartiles at every snapshot, drawn as bands."""

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
from reluviz.analysis.report.output_folder import mark_as_report
from reluviz.errors import UserError
from reluviz.record import tags
from reluviz.record.event_file import EventFile

MAX_GROUPS = 200
"""With more runs, TensorBoard's charts are unreadable."""
MIN_REPLICAS = 2
"""A band needs at least this many replicas."""
MAX_NAME_LENGTH = 120
"""Characters of a group's folder name."""


def write(groups: Groups, folder: Path) -> list[Path]:
    """Write each group as a run into `folder`, which is replaced as a whole, and return the folders of these runs.

    The tags are those of a run with replicas: loss/test is the median, loss/test/q25 and loss/test/q75 the quartiles.

    Args:
        groups: the groups; those of one replica are left out, since their run is a TensorBoard run already.
        folder: the folder to write; its former content is deleted.

    Raises:
        UserError: if it cannot be written.
    """
    shown = [group for group in groups.groups if len(group.replicas) >= MIN_REPLICAS and len(group.updates)][
        :MAX_GROUPS
    ]
    partial, previous = (folder.with_name(f".{folder.name}.{word}") for word in ("part", "old"))
    try:
        for stale in (partial, previous):
            shutil.rmtree(stale, ignore_errors=True)
        mark_as_report(partial)
        names = list(_folder_names(shown))
        for name, group in zip(names, shown, strict=True):
            _write_group(group, partial / name)
        if folder.exists():
            os.replace(folder, previous)
        if shown:
            os.replace(partial, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        for stale in (partial, previous):
            shutil.rmtree(stale, ignore_errors=True)
    return [folder / name for name in names]


def _folder_names(groups: Sequence[Group]) -> Iterator[str]:
    """Yield a unique folder name for each group, made of its settings: width-10_optimizer-adam."""
    used: set[str] = set()
    for group in groups:
        keys = list(group.settings)
        last_parts = [key.rpartition(".")[2] for key in keys]
        short = [last if last_parts.count(last) == 1 else key for key, last in zip(keys, last_parts, strict=True)]
        words = "_".join(f"{key}-{value}" for key, value in zip(short, group.settings.values(), strict=True))
        safe = re.sub(r"[^A-Za-z0-9_.+-]+", "-", words).strip(".-")[:MAX_NAME_LENGTH] or "all"
        # some file systems ignore case
        name = next(name for name in _with_numbers(safe) if name.lower() not in used)
        used.add(name.lower())
        yield name


def _with_numbers(name: str) -> Iterator[str]:
    """Yield name, name-2, name-3 and so on."""
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _write_group(group: Group, folder: Path) -> None:
    bands = {tag: group.band(tag) for tag in group.curves}
    file = EventFile(str(folder))
    try:
        file.add_event(_event(0, [_chart_layout(sorted(bands))]))
        for snapshot, update in enumerate(group.updates.tolist()):
            file.add_event(
                _event(
                    update,
                    [
                        Summary.Value(tag=name, simple_value=value)
                        for tag, band in bands.items()
                        for name, value in zip(_quartile_tags(tag), band[:, snapshot].tolist(), strict=True)
                        if not np.isnan(value)
                    ],
                )
            )
    finally:
        file.close()


def _event(update: int, values: Sequence[Any]) -> Event:
    return Event(wall_time=time.time(), step=update, summary=Summary(value=values))


def _quartile_tags(tag: str) -> tuple[str, str, str]:
    """Return the tags of q25, the median and q75."""
    low, high = (f"{tag}/{q}" for q in tags.QUARTILES)
    return low, tag, high


def _chart_layout(curve_tags: Sequence[str]) -> Any:
    """Return the layout of the custom-scalars tab: one chart with a band for each tag, as in runs with replicas."""
    charts = []
    for tag in curve_tags:
        low, middle, high = _quartile_tags(tag)
        series = layout_pb2.MarginChartContent.Series(value=middle, lower=low, upper=high)
        content = layout_pb2.MarginChartContent(series=[series])
        charts.append(layout_pb2.Chart(title=f"{tag}: median and quartiles", margin=content))
    layout = layout_pb2.Layout(category=[layout_pb2.Category(title="replicas", chart=charts)])
    return Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME)),
        tensor=TensorProto(dtype="DT_STRING", string_val=[layout.SerializeToString()]),
    )
