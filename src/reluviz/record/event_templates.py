"""Protobuf messages of one form, many at a time: their bytes are laid out once, and then only numbers are filled in.

A snapshot's event has hundreds of values, which to make one by one as objects takes longer than to compute them. But
floats and doubles always take the same number of bytes, so that the events of a run differ in nothing else.

A message is a row of fields: a key (number << 3 | type), then a varint (type 0), 8 bytes (1), a length and as many
bytes (2), or 4 bytes (5); https://protobuf.dev/programming-guides/encoding.

Legend of shapes: M messages, n bytes of a blank.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VARINT, DOUBLE, MESSAGE, FLOAT = 0, 1, 2, 5
"""Types of fields."""


@dataclass(frozen=True)
class Part:
    """Some bytes of a message, and where numbers are to be filled in.

    Attributes:
        data: the bytes, 0 where there is a blank.
        blanks: name, start and length of each; several may share a name, and are filled one after another.
    """

    data: bytes
    blanks: tuple[tuple[str, int, int], ...] = ()


def varint(value: int) -> bytes:
    """Return a whole number of at least 0, seven bits to a byte, the last ones first."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def key(number: int, kind: int) -> bytes:
    """Return what begins a field."""
    return varint(number << 3 | kind)


def blank(name: str, length: int) -> Part:
    """Return bytes that are filled in later."""
    return Part(bytes(length), ((name, 0, length),))


def row(parts: Iterable[Part | bytes]) -> Part:
    """Return parts one after another."""
    data, blanks = bytearray(), []
    for each in parts:
        part = each if isinstance(each, Part) else Part(each)
        blanks += [(name, len(data) + start, length) for name, start, length in part.blanks]
        data += part.data
    return Part(bytes(data), tuple(blanks))


def field(number: int, content: Part) -> Part:
    """Return a field that holds a message, a text or bytes."""
    return row([key(number, MESSAGE), varint(len(content.data)), content])


class EventTemplate:
    """A message to be filled in.

    Args:
        part: all of it.
    """

    def __init__(self, part: Part) -> None:
        self._data = np.frombuffer(part.data, np.uint8)
        named: dict[str, list[slice]] = defaultdict(list)
        for name, start, length in part.blanks:
            named[name].append(slice(start, start + length))
        # a slice where that is enough: tensors may be long
        self._places = {
            name: some[0] if len(some) == 1 else np.concatenate([np.arange(one.start, one.stop) for one in some])
            for name, some in named.items()
        }

    def __len__(self) -> int:
        return len(self._data)

    def fill(self, numbers: Mapping[str, NDArray[np.generic]]) -> list[bytes]:
        """Return M messages.

        Args:
            numbers: for each name of a blank [M, ...], as many bytes a message as its blanks have.
        """
        rows = {name: _bytes(numbers[name]) for name in self._places}
        count = len(next(iter(rows.values())))
        filled = np.tile(self._data, (count, 1))
        for name, places in self._places.items():
            filled[:, places] = rows[name]
        return [message.tobytes() for message in filled]


def _bytes(numbers: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the numbers' bytes, the last ones first, as the format has them: [M, n]."""
    little = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
    return little.reshape(len(little), -1).view(np.uint8)
