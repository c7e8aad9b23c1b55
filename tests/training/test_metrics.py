"""Results as plain values for JSON."""

import json
import math

import numpy as np
import pytest

from reluviz.core.theory.baselines import LeastSquaresReference, Losses, ReferenceValues
from reluviz.training.metrics import json_ready, reference_entries


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([1.5, -2.0]), [1.5, -2.0]),
        (np.array([[1.0, math.nan], [math.inf, -math.inf]]), [[1.0, None], [None, None]]),
        (np.float32(0.5), 0.5),
        (np.array([0.5, math.nan], dtype=np.float32), [0.5, None]),
        (np.float64(math.nan), None),
        (np.int64(7), 7),
        (np.array([2**53 + 1]), [2**53 + 1]),
        (np.bool_(True), True),
        (np.array(3.0), 3.0),
        (math.inf, None),
        ((1, None, "nan", True), [1, None, "nan", True]),
        ({"a": {"b": np.array([math.nan])}, "c": [np.array([1, 2])]}, {"a": {"b": [None]}, "c": [[1, 2]]}),
    ],
    ids=str,
)
def test_arrays_become_lists_and_numbers_that_json_lacks_become_none(value: object, expected: object) -> None:
    found = json_ready(value)
    assert found == expected
    # the same types too: JSON tells 7 from 7.0, and a NumPy number cannot be written
    assert json.dumps(found, allow_nan=False) == json.dumps(expected)


def test_reference_values_have_their_names_and_order_in_metrics_json() -> None:
    losses = Losses(np.array([1.0]), np.array([2.0]))
    fit = LeastSquaresReference(losses, [4], np.array([8.0]))
    network = ReferenceValues(
        least_squares=fit, ridge_losses=Losses(losses.train, None), noise_train=0.5, noise_test=[0.25]
    )
    assert json.dumps(json_ready(reference_entries(network, 0.1))) == (
        '{"least_squares": {"loss/train": [1.0], "loss/test": [2.0], "rank": [4], "condition_number": [8.0]},'
        ' "ridge": {"lambda": 0.1, "loss/train": [1.0]}, "noise_floor": {"loss/train": 0.5, "loss/test": [0.25]}}'
    )
    line = ReferenceValues(optimum=np.array([3.0]), optimum_losses=losses, noise_train=0.5)
    assert json.dumps(json_ready(reference_entries(line, None))) == (
        '{"theta": [3.0], "loss/train": [1.0], "loss/test": [2.0], "noise_floor": {"loss/train": 0.5}}'
    )
    assert reference_entries(ReferenceValues(), None) == {}
