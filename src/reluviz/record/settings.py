"""Nested settings as dotted keys: `{"optimizer": {"lr": 0.02}}` has the leaf optimizer.lr. Needs no torch."""

from collections.abc import Iterator, Mapping
from typing import Any

TARGET = "_target_"
"""The key whose value names the class or function that a node stands for."""


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each leaf of nested settings, in order; an empty node has none."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def flatten_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings as one dictionary with dotted names and plain values, without the values that are None.

    The class in a node's `_target_` becomes the value of the node's own name: optimizer SGD, optimizer.lr 0.02.
    """
    found: dict[str, Any] = {}
    for key, value in leaves(settings):
        node, _, name = key.rpartition(".")
        if name == TARGET:
            found[node] = str(value).rpartition(".")[2]
        elif value is not None:
            found[key] = str(value) if isinstance(value, bool | list | tuple) else value
    return found
