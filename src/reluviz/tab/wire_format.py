"""Arrays as one string of bytes, for readers in a browser: a header in JSON, then the numbers.

    bytes 0-3    length of the header, unsigned, little-endian, 4 less than a multiple of 8
    header       JSON, padded with spaces: {"arrays": [[name, dtype, shape], ...], ...}
    the rest     the arrays one after another, little-endian in C order, each padded with zeros to a multiple of 8
                 bytes, so that JavaScript can read each array in place

JSON alone has no NaN and takes ten times as long. JavaScript's twin of `decode` is static/core/wire_format.js.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = ("f4", "f8", "i4", "u1")


def encode(arrays: Mapping[str, NDArray[Any]], **content: Any) -> bytes:
    """Return arrays, and further values that JSON can hold, as bytes.

    Args:
        arrays: name -> an array with one of the `DTYPES`.
        content: further fields of the header.

    Raises:
        ValueError: for another dtype.
    """
    dtypes = {name: value.dtype.str.lstrip("<>|=") for name, value in arrays.items()}
    for name, dtype in dtypes.items():
        if dtype not in DTYPES:
            raise ValueError(f"{name}: {dtype} is none of {', '.join(DTYPES)}")
    listed = [[name, dtypes[name], list(value.shape)] for name, value in arrays.items()]
    header = json.dumps({"arrays": listed, **content}, allow_nan=False, separators=(",", ":")).encode()
    header += b" " * (-(len(header) + 4) % 8)
    little = (np.ascontiguousarray(value, dtype=f"<{dtypes[name]}").tobytes() for name, value in arrays.items())
    return b"".join([struct.pack("<I", len(header)), header, *(body + b"\0" * (-len(body) % 8) for body in little)])


def decode(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and the whole header from the bytes that `encode` returned."""
    (length,) = struct.unpack_from("<I", data)
    header: dict[str, Any] = json.loads(data[4 : 4 + length])
    arrays, start = {}, 4 + length
    for name, dtype, shape in header["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, f"<{dtype}", count, start).reshape(shape)
        start += -(-arrays[name].nbytes // 8) * 8
    return arrays, header
