"""Small tensors as arrays, of which everything can be asked in a third of the time."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from torch import Tensor


class ArrayViews:
    """Arrays that share the memory of tensors on the CPU, made anew when a tensor has moved.

    It does not go along where its owner is copied or stored.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, NDArray[Any]]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrayViews, ()

    def of(self, named: Mapping[str, Tensor | None], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Return some of the tensors as arrays, of which there must be all."""
        found = {}
        for name in names:
            tensor = named[name]
            assert tensor is not None
            place = tensor.data_ptr()
            known = self._known.get(name)
            # an array keeps its memory, which no other tensor can get meanwhile
            if known is None or known[0] != place or known[1].shape != tensor.shape:
                known = self._known[name] = place, tensor.detach().numpy()
            found[name] = known[1]
        return found
