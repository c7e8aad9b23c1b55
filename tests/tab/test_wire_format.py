"""Encoding and decoding return the same arrays."""

import json
import struct

import numpy as np
import pytest

from reluviz.tab import wire_format


def test_decode_returns_the_encoded_arrays_and_content() -> None:
    sent = {
        "update": np.array([0, 1, 1000], dtype=np.int32),
        "theta": np.array([[1.5], [np.nan], [-np.inf]], dtype=np.float32),
        "x": np.linspace(0, 1, 7)[::2],
        "status": np.array([2, 1, 0], dtype=np.uint8),
        "none": np.zeros((0, 3), dtype=np.float64),
        "scalar": np.array(2.5),
    }
    arrays, header = wire_format.decode(wire_format.encode(sent, model="relu", seeds=[0, 5]))
    assert list(arrays) == list(sent)
    for name, value in sent.items():
        assert arrays[name].dtype == value.dtype
        np.testing.assert_array_equal(arrays[name], value)
    assert (header["model"], header["seeds"]) == ("relu", [0, 5])


def test_every_array_begins_at_a_multiple_of_eight_bytes() -> None:
    data = wire_format.encode({"a": np.array([1, 2, 3], dtype=np.uint8), "b": np.array([0.25])}, name="é")
    (length,) = struct.unpack_from("<I", data)
    assert (length + 4) % 8 == 0
    assert json.loads(data[4 : 4 + length])["name"] == "é"
    assert len(data) == 4 + length + 8 + 8
    assert struct.unpack_from("<d", data, 4 + length + 8) == (0.25,)


def test_big_endian_arrays_are_encoded_little_endian() -> None:
    arrays, _ = wire_format.decode(wire_format.encode({"a": np.array([1.0, 2.0], dtype=">f4")}))
    assert arrays["a"].tolist() == [1.0, 2.0]


def test_a_dtype_that_javascript_cannot_read_is_refused() -> None:
    with pytest.raises(ValueError, match="a: i8 is none of f4, f8, i4, u1"):
        wire_format.encode({"a": np.arange(3)})
