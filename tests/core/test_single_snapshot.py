"""One snapshot: the arrays of `Snapshots` without the first axis, and numbers where there is one replica."""

import warnings

import numpy as np
import pytest

from reluviz.core.single_snapshot import Snapshot
from reluviz.core.snapshot import RawSnapshot, Snapshots, compute_snapshots
from reluviz.data import piecewise_linear
from reluviz.models import ConstantModule, ReLUModule

DATA = piecewise_linear()


def stacked(module: ConstantModule | ReLUModule, snapshots: int = 1) -> Snapshots:
    batch = np.arange(1.0, 1 + len(module.seeds))
    raw = [RawSnapshot(30 + s, 5.0, module.parameter_copies(), batch) for s in range(snapshots)]
    (found,) = compute_snapshots(module.model, raw, module.trained, DATA)
    return found


def test_a_snapshot_has_the_arrays_of_the_stack_without_its_axis() -> None:
    stack = stacked(ReLUModule(width=4, seeds=[0, 1, 2]))
    one = Snapshot(stack)
    assert (one.model, one.update, one.time, one.trained, one.dataset) == ("relu", 30, 5.0, stack.trained, DATA)
    assert one.stacked is stack
    for name in ("loss_train", "loss_test", "loss_batch", "elbow", "slope_jump", "unit_status"):
        found = getattr(one, name)
        np.testing.assert_array_equal(found, getattr(stack, name)[0], err_msg=name)
        assert found.shape[0] == 3
    assert one.loss_batch.tolist() == [1, 2, 3]
    assert one.units is not None
    assert one.units.counts.shape == (3, 3)
    for of_one, of_stack in (
        (one.parameters, stack.parameters),
        (one.unit_counts, stack.unit_counts),
        (one.gradients(), stack.gradients()),
        (one.contributions(2), stack.contributions(2)),
        (one.votes.gradient, stack.votes.gradient),
        (
            vars(one.votes) | {"gradient": 0, "per_sample": 0, "layers": 0},
            vars(stack.votes) | {"gradient": [0], "per_sample": [0], "layers": [0]},
        ),
    ):
        assert of_one.keys() == of_stack.keys()
        for name, value in of_one.items():
            np.testing.assert_array_equal(value, of_stack[name][0], err_msg=name)
    assert one.contributions(2)["bias"].shape == (2, 200, 4)


def test_the_loss_of_one_replica_is_a_number() -> None:
    one = Snapshot(stacked(ReLUModule(width=4, seeds=[7])))
    assert one.loss_train.shape == (1,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(one.loss_train) == one.loss_train[0] > 0
        assert float(one.loss_batch) == 1.0
        assert one.loss_test is not None
        assert float(one.loss_test) == one.loss_test[0]


def test_the_loss_of_several_replicas_is_no_number() -> None:
    one = Snapshot(stacked(ReLUModule(width=4, seeds=[0, 1])))
    with pytest.raises(TypeError, match=r"^2 replicas have 2 numbers; choose one, as in loss_train\[0\]$"):
        float(one.loss_train)


def test_a_model_without_units_says_so() -> None:
    one = Snapshot(stacked(ConstantModule(seeds=[0])))
    assert one.units is None
    for name in ("elbow", "slope_jump", "unit_status", "unit_counts"):
        with pytest.raises(AttributeError, match="the constant model has no hidden units"):
            getattr(one, name)


def test_several_snapshots_are_not_one() -> None:
    with pytest.raises(ValueError, match="one snapshot is needed, not 2"):
        Snapshot(stacked(ConstantModule(seeds=[0]), 2))
