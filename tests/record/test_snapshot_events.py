"""Snapshots become the events that protobuf would serialize, with the values of the snapshots."""

import importlib

import numpy as np
import pytest
import torch
from reluviz.core.snapshot_torch import Snapshot, compute_tensor_snapshots, unstack
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.util import tensor_util

from reluviz.core.snapshot import RawSnapshot, Snapshots, compute_snapshots
from reluviz.data import Dataset, piecewise_linear
from reluviz.models import ConstantModule, ReLUModule
from reluviz.record import snapshot_events, tags, vote_histograms
from reluviz.record.event_templates import FLOAT, EventTemplate, Part, blank, field, key, row, varint
from reluviz.record.histograms import count

DATA = piecewise_linear()


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1])
def test_varints_are_encoded_as_protobuf_encodes_them(value: int) -> None:
    assert Event(step=value).SerializeToString() == (key(2, 0) + varint(value) if value else b"")


def test_blanks_with_the_same_name_are_filled_in_order() -> None:
    values = [row([Summary.Value(tag=tag).SerializeToString(), key(2, FLOAT), blank("x", 4)]) for tag in ("a", "bc")]
    template = EventTemplate(row(field(1, value) for value in values))
    numbers = np.array([[1.5, -2.0], [np.inf, 0.0], [3.0, 4.0]], np.float32)
    messages = template.fill({"x": numbers})
    for message, (a, bc) in zip(messages, numbers.tolist(), strict=True):
        assert len(message) == len(template)
        found = Summary.FromString(message).value
        assert [(one.tag, one.simple_value) for one in found] == [("a", a), ("bc", bc)]


def test_numbers_are_written_in_little_endian_order() -> None:
    template = EventTemplate(Part(bytes(8), (("x", 0, 8),)))
    assert template.fill({"x": np.array([[1.5]], ">f8")}) == [np.array([1.5], "<f8").tobytes()]


def raw_snapshots(module: ReLUModule | ConstantModule, updates: range, seed: int = 0) -> list[RawSnapshot]:
    """Return raw snapshots whose parameters are those of a module plus random noise."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for update in updates:
        values = {
            name: (value + 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)).numpy()
            for name, value in module.values().items()
        }
        batch = torch.rand(len(module.seeds), generator=generator, dtype=torch.float64)
        found.append(RawSnapshot(update, 1e9 + update, values, batch.numpy()))
    return found


def compute(module: ReLUModule | ConstantModule, raw: list[RawSnapshot], dataset: Dataset = DATA) -> Snapshots:
    """Return raw snapshots as one `Snapshots`."""
    (found,) = compute_snapshots(module.model, raw, module.trained, dataset)
    return found


def parse(event: bytes) -> tuple[Event, dict[str, Summary.Value]]:
    found = Event.FromString(event)
    named = {value.tag: value for value in found.summary.value}
    assert len(named) == len(found.summary.value)
    return found, named


def scalars(named: dict[str, Summary.Value]) -> dict[str, float]:
    return {tag: one.simple_value for tag, one in named.items() if one.WhichOneof("value") == "simple_value"}


@pytest.mark.parametrize("replicas", [1, 3])
def test_an_event_has_the_values_of_its_snapshot(replicas: int) -> None:
    module = ReLUModule(width=4, seeds=list(range(replicas)))
    all_five = compute(module, raw_snapshots(module, range(5)))
    events = snapshot_events.SnapshotEvents("relu", np.dtype("float32"), 100).events(all_five, histograms=True)
    for snapshot, event in zip(unstack(all_five), events, strict=True):
        head, named = parse(event)
        assert (head.step, head.wall_time) == (snapshot.update, 1e9 + snapshot.update)
        assert next(iter(named)) == tags.REPLICAS
        found = scalars(named)
        assert found["loss/train"] == np.float32(np.median(snapshot.loss_train))
        assert found["elbow/02"] == np.float32(np.median(snapshot.elbow[:, 2]))
        assert ("loss/batch" in found) == (snapshot.update > 0)
        assert ("elbow/02/q75" in found) == (replicas > 1)
        params = tensor_util.make_ndarray(named[tags.PARAMS].tensor)
        parameters, _ = snapshot_events.join_parameters(
            {name: value.numpy() for name, value in snapshot.parameters.items()}, 1
        )
        np.testing.assert_array_equal(params, parameters.astype(np.float32))
        votes = tensor_util.make_ndarray(named[tags.VOTE_SERIES].tensor)
        np.testing.assert_array_equal(votes[:, 2], snapshot.votes.share.numpy().astype(np.float32))
        for name, value in snapshot.contributions().items():
            histogram: HistogramProto = named[f"votes/{name}"].histo
            assert histogram.num == sum(histogram.bucket) == value.numel()
            assert histogram.bucket[0] == 0
            assert (histogram.min, histogram.max) == pytest.approx((float(value.min()), float(value.max())), rel=1e-12)
            assert histogram.bucket_limit[0] == pytest.approx(histogram.min, rel=1e-12)
            assert histogram.sum_squares == pytest.approx(float(value.square().sum()), rel=1e-12)


def test_a_unit_without_an_elbow_has_no_elbow_scalar_in_that_snapshot_only() -> None:
    module = ReLUModule(width=3)
    some = raw_snapshots(module, range(1, 5))
    some[1].parameters["input_slope"][0, 2] = 0
    some[2].parameters["input_slope"][0, :] = 0
    events = snapshot_events.SnapshotEvents("relu", np.dtype("float32"), 100).events(
        compute(module, some), histograms=True
    )
    found = [parse(event)[1] for event in events]
    elbows = [[k for k in range(3) if f"elbow/{k:02d}" in named] for named in found]
    assert elbows == [[0, 1, 2], [0, 1], [], [0, 1, 2]]
    assert [named["elbow"].histo.num if "elbow" in named else 0 for named in found] == [3, 2, 0, 3]
    assert all(len(scalars(named)) == 6 + 3 + 6 + len(units) for named, units in zip(found, elbows, strict=True))


def test_an_event_does_not_depend_on_the_snapshots_it_is_made_with() -> None:
    module = ReLUModule(width=5, seeds=[0, 1])
    some = raw_snapshots(module, range(7))
    events_of_run = snapshot_events.SnapshotEvents("relu", np.dtype("float64"), 3)
    together = events_of_run.events(compute(module, some), histograms=True, contribution_updates={3})
    alone = [events_of_run.events(compute(module, [one]), histograms=True, contribution_updates={3}) for one in some]
    assert together == [event for (event,) in alone]
    assert "reluviz/contributions" in parse(together[3])[1]


SMALL = Dataset("small", np.linspace(0, 1, 7), np.linspace(0, 1, 7) ** 2, (0.0, 1.0))
FAR = Dataset("far", 1e6 + DATA.x, DATA.y, (1e6, 1e6 + 1), DATA.x_test + 1e6, DATA.y_test)


def quantities(snapshot: Snapshot) -> dict[str, np.ndarray]:
    named = {name: getattr(snapshot.votes, name) for name in ("effective", "noise_scale", "residual", "norm", "share")}
    named |= {f"gradient of {name}": value for name, value in snapshot.votes.gradient.items()}
    named |= {"train": snapshot.loss_train, "status": snapshot.unit_status, "elbow": snapshot.elbow}
    if snapshot.loss_test is not None:
        named["test"] = snapshot.loss_test
    found = {name: value.numpy() for name, value in named.items()}
    return found | {f"g of {name}": value for name, value in snapshot.gradients().items()}


@pytest.mark.parametrize("dataset", [DATA, SMALL, FAR], ids=["course", "small", "far"])
@pytest.mark.parametrize(("width", "replicas"), [(1, 1), (3, 2), (20, 1), (40, 1), (13, 5)])
@pytest.mark.parametrize("train", ["all", "output"])
def test_a_snapshot_does_not_depend_on_the_snapshots_it_is_computed_with(
    dataset: Dataset, width: int, replicas: int, train: str
) -> None:
    module = ReLUModule(width=width, seeds=list(range(replicas)), train=train)
    some = raw_snapshots(module, range(19))
    together = compute_tensor_snapshots("relu", some, module.trained, dataset)
    assert [one.update for one in together] == list(range(19))
    for one, snapshot in zip(some, together, strict=True):
        (alone,) = compute_tensor_snapshots("relu", [one], module.trained, dataset)
        wanted = quantities(alone)
        for name, value in quantities(snapshot).items():
            np.testing.assert_array_equal(value, wanted[name], err_msg=name)


def test_snapshots_of_a_one_parameter_model_are_computed_together() -> None:
    module = ConstantModule(seeds=[0, 1])
    some = raw_snapshots(module, range(6))
    together = compute_tensor_snapshots("constant", some, module.trained, DATA)
    for one, snapshot in zip(some, together, strict=True):
        np.testing.assert_allclose(
            snapshot.loss_train, np.var(DATA.y) + (one.parameters["theta"] - DATA.y.mean()) ** 2, rtol=1e-12
        )
        assert snapshot.units is None


@pytest.mark.parametrize("train", ["all", "output", "hidden"])
@pytest.mark.parametrize(("width", "replicas"), [(1, 1), (7, 3), (40, 1)])
@pytest.mark.parametrize("dataset", [DATA, SMALL, FAR], ids=["course", "small", "far"])
def test_the_compiled_histograms_of_votes_equal_those_of_the_contribution_matrices(
    dataset: Dataset, width: int, replicas: int, train: str
) -> None:
    importlib.import_module("numba")
    module = ReLUModule(width=width, seeds=list(range(replicas)), train=train)
    some = raw_snapshots(module, range(5))
    # a dead unit without a slope, units that are on everywhere, units without influence on the output
    for name, value in (("input_slope", 0.0), ("bias", -3.0)):
        some[1].parameters[name][0, 0] = value
    some[2].parameters["bias"][:] = 50.0
    some[3].parameters["output_weight"][:] = 0.0
    computed = compute(module, some, dataset)
    for counted_replicas in {1, replicas}:
        found = vote_histograms.count(computed, counted_replicas)
        assert tuple(found) == module.trained
        for name, one in found.items():
            wanted = count([s.gradients(counted_replicas)[name] for s in unstack(computed)], len(dataset.x))
            np.testing.assert_array_equal(one.counts, wanted.counts, err_msg=name)
            np.testing.assert_array_equal(one.edges, wanted.edges, err_msg=name)
            np.testing.assert_array_equal([one.low, one.high, one.count], [wanted.low, wanted.high, wanted.count])
            largest = np.abs(wanted.edges).max() * wanted.count.max()
            np.testing.assert_allclose(one.total, wanted.total, rtol=1e-9, atol=1e-12 * largest)
            np.testing.assert_allclose(one.squares, wanted.squares, rtol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e140])
def test_values_that_are_not_finite_are_not_counted_by_the_compiled_histograms(value: float) -> None:
    importlib.import_module("numba")
    module = ReLUModule(width=3)
    some = raw_snapshots(module, range(2))
    some[1].parameters["output_weight"][0, 0] = value
    with np.errstate(all="ignore"):
        both = compute(module, some)
    assert vote_histograms.count(both, 1) == {}
    assert vote_histograms.count(both.subset(slice(1)), 1) != {}
