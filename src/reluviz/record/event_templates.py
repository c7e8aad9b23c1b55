"""Serialize many protobuf messages with the same fields at once: one template, filled with numbers.

A snapshot's event has hundreds of values. Creating an object for each takes longer than computing the values. Floats
and doubles have a fixed number of bytes, so the events of a run differ only in these bytes.

A message is a sequence of fields. A field is a key (number << 3 | type), followed by a varint (type 0), 8 bytes
(type 1), a length and that many bytes (type 2), or 4 bytes (type 5); https://protobuf.dev/programming-guides/encoding.

Legend of shapes: M messages, n bytes of a blank.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VARINT, DOUBLE, MESSAGE, FLOAT = 0, 1, 2, 5
"""Field types."""


@dataclass(frozen=True)
class Part:
    """Some bytes of a message, and the places in it that are filled with numbers later.

    Attributes:
        data: the bytes; blanks are 0.
        blanks: name, start and length of each blank. Several may share a name: the numbers of that name fill them in
            order.
    """

    data: bytes
    blanks: tuple[tuple[str, int, int], ...] = ()


def varint(value: int) -> bytes:
    """Return a non-negative integer as a varint: seven bits a byte, the least significant first."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def key(number: int, kind: int) -> bytes:
    """Return the key that begins a field."""
    return varint(number << 3 | kind)


def blank(name: str, length: int) -> Part:
    """Return a blank: bytes that are filled in later."""
    return Part(bytes(length), ((name, 0, length),))


def row(parts: Iterable[Part | bytes]) -> Part:
    """Return parts concatenated."""
    data, blanks = bytearray(), []
    for each in parts:
        part = each if isinstance(each, Part) else Part(each)
        blanks += [(name, len(data) + start, length) for name, start, length in part.blanks]
        data += part.data
    return Part(bytes(data), tuple(blanks))


def field(number: int, content: Part) -> Part:
    """Return a field that holds a message, a string or bytes."""
    return row([key(number, MESSAGE), varint(len(content.data)), content])


class EventTemplate:
    """A message with blanks.

    Args:
        part: the bytes and blanks of the message.
    """

    def __init__(self, part: Part) -> None:
        self._data = np.frombuffer(part.data, np.uint8)
        named: dict[str, list[slice]] = defaultdict(list)
        for name, start, length in part.blanks:
            named[name].append(slice(start, start + length))
        # a single blank is a slice, which is fast: tensors may be long
        self._places = {
            name: some[0] if len(some) == 1 else np.concatenate([np.arange(one.start, one.stop) for one in some])
            for name, some in named.items()
        }

    def __len__(self) -> int:
        return len(self._data)

    def fill(self, numbers: Mapping[str, NDArray[np.generic]]) -> list[bytes]:
        """Return M serialized messages.

        Args:
            numbers: name of a blank -> [M, ...], with as many bytes for a message as the blanks of that name.
        """
        rows = {name: _bytes(numbers[name]) for name in self._places}
        count = len(next(iter(rows.values())))
        filled = np.tile(self._data, (count, 1))
        for name, places in self._places.items():
            filled[:, places] = rows[name]
        return [message.tobytes() for message in filled]


def _bytes(numbers: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the bytes of the numbers in little-endian order, [M, n]."""
    little = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
    return little.reshape(len(little), -1).view(np.uint8)
