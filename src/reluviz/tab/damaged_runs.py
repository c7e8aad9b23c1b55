"""Keeps a damaged run from harming TensorBoard: its memory, its answers, and the runs beside it.

TensorBoard repeats the one value of a tensor as often as the shape beside it says: a file of 100 bytes can ask for
terabytes. A tensor whose shape and values do not fit together ends its request with status 500. And where TensorBoard
reads without its data server, as on Windows, some damaged records end the thread that reads all runs.
"""

import functools
import math
from typing import Any

from tensorboard.backend.event_processing.directory_watcher import DirectoryDeletedError
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.errors import InvalidArgumentError
from tensorboard.util import tensor_util

MAX_REPEATED = 1024
"""One value is repeated up to this often. TensorFlow writes histograms of equal values so; reluviz repeats nothing."""


def contain_damage() -> None:
    """Have TensorBoard answer 400 for tensors that are damaged or larger than their bytes, and go on to other runs."""
    if hasattr(tensor_util.make_ndarray, "is_bounded"):
        return
    tensor_util.make_ndarray = _bounded(tensor_util.make_ndarray)
    EventAccumulator.Reload = _without_errors(EventAccumulator.Reload)


def _bounded(original: Any) -> Any:
    @functools.wraps(original)
    def make_ndarray(tensor: Any) -> Any:
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        if min(shape, default=0) < 0 or math.prod(shape) > max(MAX_REPEATED, tensor.ByteSize()):
            raise InvalidArgumentError(f"a tensor of shape {shape} has only {tensor.ByteSize():,} bytes")
        try:
            return original(tensor)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise InvalidArgumentError(f"a tensor is damaged ({error})") from error

    make_ndarray.is_bounded = True  # type: ignore[attr-defined]
    return make_ndarray


def _without_errors(original: Any) -> Any:
    @functools.wraps(original)
    def reload(accumulator: Any) -> Any:
        try:
            return original(accumulator)
        except (OSError, DirectoryDeletedError):
            # TensorBoard knows these
            raise
        except Exception:
            # what was read of the run before the damage stays
            return accumulator

    return reload
