"""The true function of a run: its name is recorded, and looked up among the targets when the run is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
from numpy.typing import NDArray

import reluviz.data
from reluviz.analysis import load_run
from reluviz.data import Dataset, EverySchedule, file, sine
from reluviz.data.datamodule import SegmentData
from reluviz.data.targets import TARGETS, piecewise_linear_target, sine_target, target_name
from reluviz.models import LinearModule
from reluviz.record import reader
from reluviz.record.logger import RunLogger
from reluviz.record.recorded_data import InterpolatedTarget, recorded_dataset
from reluviz.training.callbacks import SnapshotLogger
from reluviz.training.lightning_startup import quiet

Array = NDArray[np.float64]


def cubic(x: Array) -> Array:
    return x**3


def record(data: Dataset, folder: Path) -> Path:
    with quiet():
        trainer = L.Trainer(
            accelerator="cpu", max_epochs=1, logger=RunLogger(str(folder)), callbacks=[SnapshotLogger(0)],
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=0,
        )  # fmt: skip
        trainer.fit(LinearModule(), SegmentData(data, 2, snapshots=EverySchedule(1)))
    return folder


def content(folder: Path) -> dict[str, Any]:
    found = reader.read_run(folder).content
    assert found is not None
    return found


@pytest.fixture
def with_cubic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a target as a contributor does, by one entry in the registry."""
    monkeypatch.setitem(TARGETS, "cubic", cubic)


def test_every_target_has_a_name_by_which_it_is_found() -> None:
    assert [target_name(target) for target in TARGETS.values()] == list(TARGETS)
    assert target_name(cubic) is None
    assert (TARGETS["piecewise_linear"], TARGETS["sine"]) == (piecewise_linear_target, sine_target)


@pytest.mark.usefixtures("with_cubic")
def test_one_entry_in_the_registry_makes_a_data_set() -> None:
    data = reluviz.data.cubic(n=50, noise=0.2, seed=4)
    same = sine(n=50, noise=0.2, seed=4)
    assert data.target is cubic
    assert (data.name, data.sigma, data.target_is_interpolated) == ("cubic", 0.2, False)
    np.testing.assert_array_equal(data.x, same.x)
    np.testing.assert_allclose(data.noise, same.noise, atol=1e-15)


def test_a_name_that_is_not_in_the_registry_is_no_attribute() -> None:
    assert not hasattr(reluviz.data, "cubic")


@pytest.mark.usefixtures("with_cubic")
def test_a_registered_target_is_read_back_as_the_function_itself(tmp_path: Path) -> None:
    folder = record(reluviz.data.cubic(n=20), tmp_path)
    assert content(folder)["target"] == "cubic"
    data = load_run(folder).data
    assert data.target is cubic
    assert not data.target_is_interpolated


def test_a_target_that_this_version_lacks_is_an_interpolation_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "cubic", cubic)
    made = reluviz.data.cubic(n=20)
    folder = record(made, tmp_path)
    monkeypatch.delitem(TARGETS, "cubic")
    data = load_run(folder).data
    assert data.target_is_interpolated
    assert isinstance(data.target, InterpolatedTarget)
    # training inputs are test inputs, too
    assert repr(data.target) == "<InterpolatedTarget of 1020 points: this version has no target 'cubic'>"
    np.testing.assert_array_equal(data.target(made.x), cubic(made.x))


def test_a_target_that_has_changed_is_an_interpolation_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "cubic", cubic)
    made = reluviz.data.cubic(n=20)
    folder = record(made, tmp_path)
    monkeypatch.setitem(TARGETS, "cubic", lambda x: cubic(x) + 1e-6)
    data = load_run(folder).data
    assert data.target_is_interpolated
    assert "the target 'cubic' of this version has other values" in repr(data.target)
    assert data.target is not None
    np.testing.assert_array_equal(data.target(made.x), cubic(made.x))


def test_a_function_without_a_name_is_an_interpolation_that_says_so(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 9)
    folder = record(Dataset("mine", x, cubic(x) + 1, (0.0, 1.0), target=cubic), tmp_path)
    assert content(folder)["target"] is None
    data = load_run(folder).data
    assert data.target_is_interpolated
    assert repr(data.target) == "<InterpolatedTarget of 9 points: the run's function has no name in TARGETS>"
    assert data.noise is not None
    np.testing.assert_allclose(data.noise, 1, atol=1e-15)


def test_the_users_own_points_have_no_target(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y\n0,1\n1,2\n")
    folder = record(file(str(tmp_path / "points.csv")), tmp_path / "run")
    assert "target" not in content(folder)
    data = load_run(folder).data
    assert (data.target, data.target_is_interpolated) == (None, False)


def rebuilt(function: Callable[[Array], Array], **named: Any) -> Dataset:
    """Return the data set of a run that recorded these values, with further content."""
    x = np.linspace(0, 1, 30)
    fields = {"x": x, "y": x, "target": function(x), "recorded": np.arange(30.0)}
    described = {"name": "data", "domain": [0, 1], "fields": [[name, len(part)] for name, part in fields.items()]}
    return recorded_dataset({**described, **named}, np.concatenate(list(fields.values())))[0]


def test_a_run_of_an_earlier_version_is_compared_with_the_values_of_every_target() -> None:
    for target in TARGETS.values():
        assert rebuilt(target).target is target
        assert not rebuilt(target).target_is_interpolated
    unknown = rebuilt(cubic)
    assert unknown.target_is_interpolated
    assert "no target of this version has its values" in repr(unknown.target)


@pytest.mark.parametrize("name", ["os.system", "reluviz.data.targets.sine_target", "sine ", "", 3])
def test_a_name_is_only_looked_up_among_the_targets(name: Any) -> None:
    assert rebuilt(sine_target, target=name).target_is_interpolated


def test_the_name_decides_between_targets_not_the_values() -> None:
    assert rebuilt(sine_target, target="piecewise_linear").target_is_interpolated
    assert rebuilt(sine_target, target="sine").target is sine_target
