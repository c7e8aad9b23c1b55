"""Objects by their dotted names, as `_target_` gives them."""

import importlib
from typing import Any


def import_by_name(target: str) -> Any:
    """Return the object with a dotted name.

    Raises:
        LookupError: if there is no such object.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError):
        raise LookupError(target) from None
