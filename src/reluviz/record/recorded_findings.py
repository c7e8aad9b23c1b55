"""The findings of a run as a value in its event files, and read back from there.

The text is the tensor itself, not plugin content, because TensorBoard keeps only the first content of a tag, and a run
that is prolonged records its findings again.
"""

import json
from collections.abc import Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

from reluviz.core.findings import Finding, from_plain
from reluviz.files import parse_json
from reluviz.record import tags


def findings_value(findings: Sequence[Finding]) -> Any:
    """Return a Summary.Value that holds findings."""
    text = json.dumps([finding.plain() for finding in findings])
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name=tags.PLUGIN), data_class=DATA_CLASS_TENSOR
    )
    return Summary.Value(
        tag=tags.FINDINGS, metadata=metadata, tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode()])
    )


def read_findings(value: Any) -> tuple[Finding, ...]:
    """Return the findings that a Summary.Value holds.

    Raises:
        LookupError, TypeError, ValueError: if it holds something else.
    """
    return parse_findings(value.tensor.string_val[0])


def parse_findings(text: bytes | str) -> tuple[Finding, ...]:
    """Return the findings that a recorded text holds.

    Raises:
        LookupError, TypeError, ValueError: if it holds something else.
    """
    return from_plain(parse_json(text))
