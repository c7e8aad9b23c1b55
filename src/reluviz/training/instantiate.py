"""From settings to objects: a node names its class or function in `_target_` and holds the arguments."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from reluviz.errors import UserError
from reluviz.models.optimizers import find

RENAMED = {
    "reluviz.callbacks": "reluviz.training.callbacks",
    "reluviz.callbacks.checkpoints": "reluviz.training.callbacks.checkpoints",
    "reluviz.callbacks.progress": "reluviz.training.callbacks.progress_bar",
    "reluviz.callbacks.snapshots": "reluviz.training.callbacks.snapshot_logger",
    "reluviz.data.files": "reluviz.data.point_files",
    "reluviz.data.module": "reluviz.data.datamodule",
    "reluviz.data.snapshots": "reluviz.data.schedules",
    "reluviz.data.snapshots.Linear": "reluviz.data.Linear",
    "reluviz.data.snapshots.Log": "reluviz.data.Log",
    "reluviz.logger": "reluviz.record.logger",
    "reluviz.models.base": "reluviz.models.module",
}
"""`_target_`s of version 0.1.0, whole or the modules they begin with -> today's; its runs can be resumed."""


def callee(node: Mapping[str, Any], key: str) -> Callable[..., Any]:
    """Return the `_target_` of a node, which takes the node's other values.

    Raises:
        UserError: if there is no such target, or it has no such argument.
    """
    target = _current(str(node.get("_target_")))
    try:
        found = find(target)
    except LookupError:
        raise UserError(f"{key}._target_={target}: there is no such class or function") from None
    if not callable(found):
        raise UserError(f"{key}._target_={target}: is not a class or function")
    known = inspect.signature(found).parameters
    for name, value in node.items():
        if name not in known and name != "_target_":
            takes = ", ".join(known) or "none"
            raise UserError(f"{key}.{name}={value}: {target} has no such argument (it takes {takes})")
    return found  # type: ignore[no-any-return]


def build(node: Mapping[str, Any], key: str, **extra: Any) -> Any:
    """Call the `_target_` of a node with the node's other values.

    Args:
        node: the settings.
        key: where they stand, for error messages.
        extra: arguments that are no settings.

    Raises:
        UserError: if there is no such target, or it does not take these values.
    """
    function = callee(node, key)
    try:
        return function(**{name: value for name, value in node.items() if name != "_target_"}, **extra)
    except TypeError as error:
        raise UserError(f"{key}: {' '.join(str(error).split())}") from error


def _current(target: str) -> str:
    """Return today's name of a class or function that may go by its name of version 0.1.0."""
    parts = target.split(".")
    for end in range(len(parts), 1, -1):
        if (name := ".".join(parts[:end])) in RENAMED:
            return ".".join([RENAMED[name], *parts[end:]])
    return target
