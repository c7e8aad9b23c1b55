"""Arrays, lists and columns of tables get the same checks, in the same words, as files."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from reluviz import Dataset, ReLUModule, SegmentData, SnapshotLogger
from reluviz.data import file, points
from reluviz.data.datamodule import FileData
from reluviz.errors import UserError
from reluviz.record.recorded_data import RecordedPoints, recorded_dataset
from reluviz.training.lightning_startup import quiet

X, Y = [0.25, 1.0, 2.0], [0.5, -1e-3, 3.0]


class Column:
    """A column of a table: it has an index of its own, and turns into an array on request."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.values, dtype=dtype)


class Missing:
    """What a column of pandas holds where a value is missing."""

    def __repr__(self) -> str:
        return "<NA>"


FORMS: dict[str, Any] = {
    "lists": list,
    "tuples": tuple,
    "float64": np.array,
    "columns of a table": Column,
    "columns with objects": lambda values: Column(np.array(values, dtype=object)),
    "arrays [N, 1]": lambda values: np.array(values)[:, None],
    "tensors": lambda values: torch.tensor(values, dtype=torch.float64),
    "tensors [N, 1]": lambda values: torch.tensor(values, dtype=torch.float64)[:, None],
    "other byte order": lambda values: np.array(values, dtype=">f8"),
    "tensors with a gradient": lambda values: torch.tensor(values, dtype=torch.float64, requires_grad=True),
    "lists of tensors": lambda values: list(torch.tensor(values, dtype=torch.float64)),
    "objects": lambda values: np.array(values, dtype=object),
    "decimals": lambda values: [Decimal(str(value)) for value in values],
    "masked arrays without a masked value": lambda values: np.ma.array(values, mask=False),
    "views with a step": lambda values: np.repeat(values, 2)[::2],
    "arrays that cannot be written": lambda values: frozen(np.array(values)),
}


def frozen(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


SMALL: dict[str, tuple[Any, list[float]]] = {
    "booleans": (np.array([True, False, True]), [1, 0, 1]),
    "a list of booleans": ([True, False, True], [1, 0, 1]),
    "unsigned bytes": (np.array([200, 0, 255], dtype=np.uint8), [200, 0, 255]),
    "big whole numbers": (np.array([2**60, 0, 1]), [2.0**60, 0, 1]),
    "whole numbers of Python": ([10**30, 0, 1], [1e30, 0, 1]),
    "float16": (np.array([0.5, 0.25, 1], dtype=np.float16), [0.5, 0.25, 1]),
    "long doubles": (np.array([0.5, 0.25, 1], dtype=np.longdouble), [0.5, 0.25, 1]),
    "float32 tensors": (torch.tensor([0.5, 0.25, 1]), [0.5, 0.25, 1]),
    "whole tensors": (torch.tensor([3, 1, 2]), [3, 1, 2]),
    "fractions": ([Fraction(1, 2), Fraction(1, 4), 1], [0.5, 0.25, 1]),
    "a range": (range(3), [0, 1, 2]),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_points_are_taken_in_every_form_and_sorted(form: Any) -> None:
    shuffled = [2, 0, 1]
    data = Dataset("mine", form([X[i] for i in shuffled]), form([Y[i] for i in shuffled]), (0.0, 2.0))
    assert (data.x.tolist(), data.y.tolist()) == (X, Y)
    assert data.x.dtype == data.y.dtype == np.float64
    assert data.x.shape == data.y.shape == (3,)


def test_float32_and_whole_numbers_become_float64() -> None:
    data = Dataset("mine", np.float32([0, 0.1, 1]), np.array([3, 1, 2], dtype=np.int8), (0.0, 1.0))
    assert data.x.tolist() == [0.0, float(np.float32(0.1)), 1.0]
    assert (data.y.tolist(), data.y.dtype) == ([3, 1, 2], np.float64)


@pytest.mark.parametrize(("values", "wanted"), SMALL.values(), ids=SMALL)
def test_numbers_of_every_type_become_float64(values: Any, wanted: list[float]) -> None:
    data = Dataset("mine", [0, 1, 2], values, (0.0, 2.0))  # type: ignore[arg-type]
    assert (data.y.tolist(), data.y.dtype) == (wanted, np.float64)


def test_columns_of_pandas_are_taken(tmp_path: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"x": [2.0, 0.25, 1.0], "y": [3, 1, 2]}, index=[7, 8, 9])
    for x, y in ((frame["x"], frame["y"]), (frame[["x"]], frame["y"].astype("Int64"))):
        data = Dataset("mine", x, y, (0.0, 2.0))
        assert (data.x.tolist(), data.y.tolist()) == ([0.25, 1, 2], [1, 2, 3])
    with pytest.raises(UserError, match=r"^data=mine: y\[1\] is '<NA>'; finite numbers are needed$"):
        Dataset("mine", frame["x"], pandas.array([1, None, 2], dtype="Int64"), (0.0, 2.0))


def test_test_points_come_in_pairs_and_are_not_empty() -> None:
    with pytest.raises(UserError, match=r"^data=mine: x_test\[0\] is 'None'; finite numbers are needed$"):
        Dataset("mine", X, Y, (0.0, 2.0), y_test=[1, 2])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^data=mine: x_test has 2 values and y_test has 1; equal numbers are needed$"):
        Dataset("mine", X, Y, (0.0, 2.0), x_test=[1, 2], y_test=[1])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^data=mine: x_test: has 0 rows of data; at least 1 are needed$"):
        SegmentData(Dataset("mine", X, Y, (0.0, 2.0), x_test=[], y_test=[]))  # type: ignore[arg-type]


def test_test_points_are_checked_and_sorted() -> None:
    data = Dataset("mine", X, Y, (0.0, 2.0), x_test=[3, 1], y_test=[[5], [6]])  # type: ignore[arg-type]
    assert data.x_test is not None
    assert data.y_test is not None
    assert (data.x_test.tolist(), data.y_test.tolist()) == ([1, 3], [6, 5])
    with pytest.raises(UserError, match=r"^data=mine: y_test\[1\] is nan; finite numbers are needed$"):
        Dataset("mine", X, Y, (0.0, 2.0), x_test=[3, 1], y_test=[5, np.nan])  # type: ignore[arg-type]


def test_the_arrays_of_the_caller_are_left_alone() -> None:
    x = np.array([2.0, 1.0])
    Dataset("mine", x, np.array([3.0, 4.0]), (1.0, 2.0))
    assert x.tolist() == [2, 1]


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a NaN": (X, [0.5, np.nan, 1], "y[1] is nan; finite numbers are needed"),
    "infinity": ([0, 1, -np.inf], Y, "x[2] is -inf; finite numbers are needed"),
    "a NaN in a column": (Column(np.array([0.5, np.nan, 1])), Y, "x[1] is nan; finite numbers are needed"),
    "None among objects": (X, Column([0.5, None, 1]), "y[1] is 'None'; finite numbers are needed"),
    "words": (["a", "b", "c"], Y, "array x holds str32; numbers are needed"),
    "complex numbers": (X, np.array(Y) + 1j, "array y holds complex128; numbers are needed"),
    "two columns": (X, np.zeros((3, 2)), "array y has shape (3, 2); one dimension is needed"),
    "a masked value": (X, np.ma.array(Y, mask=[0, 1, 0]), "y[1] is masked; finite numbers are needed"),
    "masked values in a column": (np.ma.array([X], mask=[[0, 0, 1]]).T, Y, "x[2] is masked; finite numbers are needed"),
    "pandas' NA": (X, Column(np.array([0.5, Missing(), 1], dtype=object)), "y[1] is '<NA>'; finite numbers are needed"),
    "words of numbers": (X, ["1", "2", "3"], "array y holds str32; numbers are needed"),
    "dates": (np.array(["2020-01-01"] * 3, dtype="M8[D]"), Y, "array x holds datetime64[D]; numbers are needed"),
    "a number beyond float64": (X, [0, 1, 10**400], "y holds a number beyond float64; finite numbers are needed"),
    "nothing": (None, Y, "x[0] is 'None'; finite numbers are needed"),
    "a complex tensor": (X, torch.ones(3, dtype=torch.complex64), "array y holds complex64; numbers are needed"),
    "complex objects": (X, np.array([1, 2j, 3], dtype=object), "y[1] is '2j'; finite numbers are needed"),
    "a tensor of a type that NumPy lacks": (X, torch.ones(3, dtype=torch.bfloat16), "y is no column of numbers ("),
    "a NaN in a tensor": (torch.tensor([0, torch.nan, 1]), Y, "x[1] is nan; finite numbers are needed"),
    "a NaN among objects": (X, np.array([1, float("nan"), 2], dtype=object), "y[1] is nan; finite numbers are needed"),
    "a row": (np.zeros((1, 3)), Y, "array x has shape (1, 3); one dimension is needed"),
    "one number": (1.0, Y, "array x has shape (); one dimension is needed"),
    "different lengths": (X, Y[1:], "x has 3 values and y has 2; equal numbers are needed"),
    "lists of different lengths": (X, [[1], [2, 3]], "y is no column of numbers (setting an array element"),
}


@pytest.mark.parametrize(("x", "y", "message"), REFUSED.values(), ids=REFUSED)
def test_points_that_cannot_be_used_are_refused_in_one_line(x: Any, y: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(f'data=mine: {message}')}") as caught:
        Dataset("mine", x, y, (0.0, 1.0))
    assert "\n" not in str(caught.value)


def test_arrays_and_archives_are_refused_in_the_same_words(tmp_path: Any) -> None:
    path = str(tmp_path / "a.npz")
    for x, y in ((X, [0.5, np.nan, 1]), (X, np.zeros((3, 2))), (X, Y[1:]), (["a", "b", "c"], Y)):
        np.savez(path, x=x, y=y)
        with pytest.raises(UserError) as of_file:
            file(path)
        with pytest.raises(UserError) as of_arrays:
            Dataset("mine", x, y, (0.0, 1.0))  # type: ignore[arg-type]
        of_both = [str(of_file.value).removeprefix(f"data.path={path}"), str(of_arrays.value).removeprefix("data=mine")]
        assert of_both[0] == of_both[1]


def test_training_needs_two_different_inputs() -> None:
    for x, message in (([1.0], "has 1 row of data; at least 2 are needed"), ([3, 3], "every x is 3; at least two")):
        with pytest.raises(UserError, match=f"^data=mine: {message}"):
            SegmentData(Dataset("mine", x, x, (0.0, 1.0)))  # type: ignore[arg-type]


def test_a_handful_of_points_is_a_data_set() -> None:
    for given in ([[1, 3], [0, 1]], np.array([[1, 3], [0, 1]]), torch.tensor([[1, 3], [0, 1]]), ((1, 3), (0, 1))):
        data = points(given)
        assert points([np.array([0, 1]), np.array([1, 3])]).y.tolist() == [1, 3]
        assert (data.name, data.x.tolist(), data.y.tolist(), data.domain) == ("points", [0, 1], [1, 3], (0, 1))
    with pytest.raises(UserError, match=r"^data\.points is missing: give pairs"):
        points()
    with pytest.raises(UserError, match=r"^data\.points=\[\[nan, 1\.0\], .{180,200}\.\.\.: must be a finite number$"):
        points(np.array([[np.nan, 1]] * 99))
    with pytest.raises(UserError, match=r"^data\.points: every x is 1; at least two different x are needed$"):
        points([[1, 2], [1, 3]])


def test_file_data_chooses_columns(tmp_path: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_text("n;t;v\n1;0,5;1,234\n2;1,5;2,345\n")
    data = FileData(str(path), x="t", y=2, updates=5).dataset
    assert (data.x.tolist(), data.y.tolist()) == ([0.5, 1.5], [1.234, 2.345])
    assert FileData(str(path), x=0, y="V", decimal="comma").dataset.y.tolist() == [1.234, 2.345]


def test_columns_of_an_array_train_like_the_flat_arrays() -> None:
    x = np.linspace(0, 1, 50)
    losses = []
    for inputs, outputs in ((x, np.sin(6 * x)), (x[::-1, None], np.sin(6 * x[::-1, None]))):
        logger = SnapshotLogger(pictures=0)
        data = SegmentData(Dataset("mine", inputs, outputs, (0.0, 1.0)), updates=50)
        off = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
        with quiet():
            trainer = L.Trainer(accelerator="cpu", max_epochs=1, callbacks=[logger], **off)  # type: ignore[arg-type]
            trainer.fit(ReLUModule(width=5, seeds=[0]), data)
        assert logger.latest is not None
        losses.append(float(logger.latest.loss_train))
    assert losses[0] == losses[1] < 1


def test_a_recorded_data_set_keeps_its_order() -> None:
    fields = [["x", 3], ["y", 3], ["recorded", 2]]
    content = {"fields": fields, "name": "old", "domain": [0, 2]}
    data, recorded = recorded_dataset(content, np.array([2.0, 0, 1, 5, 6, 7, 0, 2]))
    assert isinstance(data, RecordedPoints)
    assert (data.x.tolist(), data.y.tolist(), recorded.tolist()) == ([2, 0, 1], [5, 6, 7], [0, 2])
