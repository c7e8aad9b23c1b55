"""CSV and NPZ files are read, and invalid files are refused in one line."""

import contextlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reluviz.data import file
from reluviz.errors import UserError

GOOD_CSV = {
    "commas": "x,y\n2,0.5\n0.25,-1e-3\n",
    "semicolons": "x;y\n2;0.5\n0.25;-1e-3\n",
    "semicolons and decimal commas": "x;y\n2;0,5\n0,25;-1e-3\n",
    "tabs": "x\ty\n2\t0.5\n0.25\t-1e-3\n",
    "tabs and decimal commas": "x\ty\n2\t0,5\n0,25\t-1e-3\n",
    "a byte-order mark": "\ufeffx,y\n2,0.5\n0.25,-1e-3\n",
    "Windows line ends": "x,y\r\n2,0.5\r\n0.25,-1e-3\r\n",
    "old Macintosh line ends": "x,y\r2,0.5\r0.25,-1e-3\r",
    "no line end at the end": "x,y\n2,0.5\n0.25,-1e-3",
    "y before x": "y,x\n0.5,2\n-1e-3,0.25\n",
    "more columns": "id,x,name,y,z\n1,2,a,0.5,\n2,0.25,nan,-1e-3,7\n",
    "a column without a name": ",x,y\n0,2,0.5\n1,0.25,-1e-3\n",
    "upper case": "X,Y\n2,0.5\n0.25,-1e-3\n",
    "blank lines": "\n\nx,y\n\n2,0.5\n  \n,\n0.25,-1e-3\n\n",
    "quotes": '"x","y"\n"2","0.5"\n"0.25","-1e-3"\n',
    "quotes around a separator": '"name, long";x;y\n"a;b";2;0,5\nc;0,25;-1e-3\n',
    "spaces": " x , y \n 2 ,  0.5 \n0.25 ,-1e-3\n",
    "spaces and quotes": 'x, "y"\n2, "0.5"\n0.25, "-1e-3"\n',
    "commas at the ends of lines": "x,y\n2,0.5,\n0.25,-1e-3,,\n",
    "commas at the ends of all lines": "x,y,,\n2,0.5,,\n0.25,-1e-3,,\n",
    "the separator line of Excel": "sep=;\nx;y\n2;0,5\n0,25;-1e-3\n",
    "the separator line of Excel with a tab": "sep=\t\r\nx\ty\r\n2\t0,5\r\n0,25\t-1e-3\r\n",
    "comments": "# measured on Monday, at noon\nx,y\n2,0.5\n# a pause\n0.25,-1e-3\n",
    "NumPy's header": "# x,y\n2,0.5\n0.25,-1e-3\n",
    "NumPy's header after a comment": "# from savetxt\n#x,y\n2,0.5\n0.25,-1e-3\n",
    "blanks between columns": "x y\n2 0.5\n0.25 -1e-3\n",
    "no header": "2,0.5\n0.25,-1e-3\n",
    "signs and exponents": "x,y\n+2.0E0,.5\n25e-2,-1.e-3\n",
}
BAD_CSV = {
    "an empty file": ("", "is empty; two columns of numbers are needed, or a header with x and y"),
    "blank lines only": ("\n \n", "is empty; two columns of numbers are needed"),
    "a comment only": ("# nothing\n", "is empty; two columns of numbers are needed"),
    "a header only": ("x,y\n", "has 0 rows of data; at least 2 are needed"),
    "one row": ("x,y\n1,2\n", "has 1 row of data; at least 2 are needed"),
    "one column without a header": ("0.1\n0.3\n", "has no header, and 1 column of numbers; two are needed, x and y"),
    "one column": ("x\n1\n2\n", "has no column y in its header, line 1 ('x'), and 1 column of numbers; two are needed"),
    "three columns without a header": ("1,2,3\n4,5,6\n", "has no header and 3 columns of numbers (0, 1, 2); data.x="),
    "no column y": (
        "x,z,w\n1,2,3\n",
        "has no column y in its header, line 1 ('x', 'z', 'w'), and 3 columns of numbers; data.x= and data.y= choose",
    ),
    "x twice": ("x,y,x\n1,2,3\n", "has more than one column x in its header, line 1 ('x', 'y', 'x')"),
    "x twice in different case": ("x,y,X\n1,2,3\n", "has more than one column x in its header"),
    "a single column below its name": ("Temperature\n1,5\n2,6\n", "line 2 has 2 columns and the header 1; equal"),
    "a wide header": (f"{'a,' * 500}b\n", "('a', 'a', 'a', 'a', 'a', 'a'), and 0 columns of numbers"),
    "a word": ("x,y\n1,2\n3,four\n", "line 3: y is 'four'; a plain number such as 1234.5 is needed"),
    "a word after blank lines": ("\n\nx,y\n\n1,2\nthree,4\n", "line 6: x is 'three'"),
    "a word after Excel's line": ("sep=;\nx;y\n1;2\nthree;4\n", "line 4: x is 'three'"),
    "a number with a unit": ("x,y\n1,2\n3 m,4\n", "line 3: x is '3 m'"),
    "an empty field": ("x,y\n1,2\n,4\n", "line 3: x is missing; a plain number"),
    "a missing field": ("x,y\n1,2\n3\n", "line 3: y is missing"),
    "not a number": ("x,y\n1,2\n3,NaN\n", "line 3: y is NaN; a finite number is needed"),
    "infinity": ("x,y\n1,2\n-inf,4\n", "line 3: x is -inf; a finite number is needed"),
    "a number too large": ("x,y\n1,2\n3,1e999\n", "line 3: y is 1e999; a finite number is needed"),
    "one x only": ("x,y\n1.5,2\n1.5,4\n", "every x is 1.5; at least two different x are needed"),
    "decimal commas between commas": (
        "x,y\n0,5,1,2\n",
        "line 2 has 4 columns and the header 2; equal numbers are needed (with",
    ),
    "row names without a header": ("x,y\na,0.5,1.2\n", "line 2 has 3 columns and the header 2"),
    "two decimal marks": ("x;y\n1.5;2\n3;4,5\n", "line 3: y is '4,5', but in line 2 x is '1.5'; a file needs one"),
    "an open quote": ('x,y\n1,2\n3,"4\n5,6\n7,8\n', "line 5: y is '4"),
    "a long field": (f"x,y\n1,{'a' * 5000}\n", f"line 2: y is '{'a' * 30}...'; a plain number"),
    "a field too long for a CSV": (f"x,y\n1,{'a' * 200_000}\n", "is not a CSV file (field larger than field limit"),
    "null characters": ("x,y\n1,\0\n", "line 2: y is '\\x00'"),
}
NOT_TEXT = "is not text in UTF-8; save it as 'CSV UTF-8', or as NPZ"
SPREADSHEET = "is a spreadsheet; save it as 'CSV UTF-8', or as NPZ"
BAD_BYTES = {
    "binary junk": (bytes(range(256)), NOT_TEXT),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", NOT_TEXT),
    "a compressed file": (b"\x1f\x8b\x08\x00abcdef", NOT_TEXT),
    "a workbook": (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\xb5\xe1", SPREADSHEET),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50), SPREADSHEET),
    "UTF-16 that ends within a character": ("x,y\n1,2\n3,4\n".encode("utf-16")[:-1], NOT_TEXT),
    "no text in any encoding": (b"x,y\x81\n1,2\n", NOT_TEXT),
}
X, Y = np.array([2.0, 0.25, 1.0]), np.array([0.5, -1e-3, 3.0])


def npz(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return stream.getvalue()


GOOD_NPZ = {
    "float64": npz(x=X, y=Y),
    "float32": npz(x=X.astype(np.float32), y=Y),
    "upper case": npz(X=X, Y=Y),
    "a column": npz(x=X[:, None], y=Y),
    "two arrays without names": npz(arr_0=X, arr_1=Y),
    "big-endian": npz(x=X.astype(">f8"), y=Y.astype(">f8")),
    "more arrays": npz(x=X, y=Y, z=np.array(["a", "b"]), unit=np.array("m")),
    "objects in another array": npz(x=X, y=Y, notes=np.array([None, "a"], dtype=object)),
}
DAMAGED = "is damaged, or no NPZ file of number arrays"
BAD_NPZ = {
    "no array y": (npz(x=X, z=Y, w=Y), "has no array y ('x', 'z', 'w'), and 3 arrays of numbers; data.x= and data.y="),
    "no arrays": (npz(), "has no array x and no array y (nothing), and 0 arrays of numbers; two are needed"),
    "three arrays without names": (npz(arr_0=X, arr_1=Y, arr_2=Y), "has no array x and no array y ('arr_0', 'arr_1', "),
    "a row": (npz(x=X[None], y=Y), "array x has shape (1, 3); one dimension is needed"),
    "one number": (npz(x=X, y=1.0), "array y has shape (); one dimension is needed"),
    "different lengths": (npz(x=X, y=Y[1:]), "x has 3 values and y has 2; equal numbers are needed"),
    "empty arrays": (npz(x=X[:0], y=Y[:0]), "has 0 rows of data; at least 2 are needed"),
    "one row": (npz(x=X[:1], y=Y[:1]), "has 1 row of data; at least 2 are needed"),
    "one x only": (npz(x=X * 0 + 3, y=Y), "every x is 3; at least two different x are needed"),
    "words": (npz(x=np.array(["a", "b", "c"]), y=Y), "array x holds str32; numbers are needed"),
    "complex numbers": (npz(x=X, y=Y + 1j), "array y holds complex128; numbers are needed"),
    "dates": (npz(x=X.astype("M8[s]"), y=Y), "array x holds datetime64[s]; numbers are needed"),
    "not a number": (npz(x=X, y=np.array([1, np.nan, 2])), "y[1] is nan; finite numbers are needed"),
    "infinity": (npz(x=np.array([1, 2, -np.inf]), y=Y), "x[2] is -inf; finite numbers are needed"),
    "objects": (npz(x=X.astype(object), y=Y), f"{DAMAGED} (objects, which can run code, are not read)"),
    "a truncated archive": (npz(x=X, y=Y)[:-60], DAMAGED),
    "half an archive": (npz(x=X, y=Y)[:200], DAMAGED),
    "an empty file": (b"", DAMAGED),
    "a CSV file": (b"x,y\n1,2\n3,4\n", DAMAGED),
    "a single array": (npy(X), "is a single array; an NPZ file with arrays x and y is needed"),
    "members that are no arrays": (archive(x=b"1 2 3", y=npy(Y)), "array x holds no array; numbers are needed"),
    "a damaged header": (archive(x=npy(X).replace(b"descr", b"\x00\n({["), y=npy(Y)), DAMAGED),
}


class CreatesFile:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.close, (os.open(self.path, os.O_CREAT),)


def error_message(*args: str) -> str:
    with pytest.raises(UserError) as caught:
        file(*args)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def write_file(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("content", GOOD_CSV.values(), ids=GOOD_CSV.keys())
def test_a_csv_file_is_read_and_sorted_by_x(content: str, tmp_path: Path) -> None:
    data = file(write_file(tmp_path / "points.csv", content))
    assert data.x.tolist() == [0.25, 2.0]
    assert data.y.tolist() == [-1e-3, 0.5]
    assert data.x.dtype == data.y.dtype == np.float64
    assert (data.name, data.domain) == ("points.csv", (0.25, 2.0))
    assert (data.x_test, data.y_test, data.target, data.sigma, data.noise) == (None, None, None, None, None)


@pytest.mark.parametrize("content", GOOD_NPZ.values(), ids=GOOD_NPZ.keys())
def test_an_npz_file_is_read_and_sorted_by_x(content: bytes, tmp_path: Path) -> None:
    data = file(write_file(tmp_path / "points.NPZ", content))
    assert data.x.tolist() == [0.25, 1.0, 2.0]
    assert data.y.tolist() == [-1e-3, 3.0, 0.5]
    assert data.x.dtype == data.y.dtype == np.float64
    assert data.domain == (0.25, 2.0)


def test_integers_and_booleans_are_numbers(tmp_path: Path) -> None:
    data = file(write_file(tmp_path / "a.npz", npz(x=np.array([3, 1], dtype=np.uint8), y=np.array([True, False]))))
    assert (data.x.tolist(), data.y.tolist()) == ([1.0, 3.0], [0.0, 1.0])


def test_points_with_the_same_x_keep_their_order(tmp_path: Path) -> None:
    data = file(write_file(tmp_path / "a.csv", "x,y\n" + "".join(f"{1 - i % 2},{i}\n" for i in range(200))))
    assert data.x.tolist() == [0] * 100 + [1] * 100
    assert data.y.tolist() == [*range(1, 200, 2), *range(0, 200, 2)]


@pytest.mark.parametrize(("content", "message"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_an_invalid_csv_file_is_refused_in_one_line_that_names_the_place(
    content: str, message: str, tmp_path: Path
) -> None:
    path = write_file(tmp_path / "a.csv", content)
    assert error_message(path).startswith(f"data.path={path}: ")
    assert message in error_message(path)


@pytest.mark.parametrize(("content", "message"), BAD_BYTES.values(), ids=BAD_BYTES.keys())
def test_a_file_that_is_no_text_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.csv", content)
    assert error_message(path) == f"data.path={path}: {message}"


@pytest.mark.parametrize(("content", "message"), BAD_NPZ.values(), ids=BAD_NPZ.keys())
def test_an_invalid_npz_file_is_refused_in_one_line_that_names_the_place(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = write_file(tmp_path / "a.npz", content)
    assert error_message(path).startswith(f"data.path={path}: ")
    assert message in error_message(path)


def test_a_damaged_npz_file_never_raises_another_exception(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.arange(9.0), y=np.arange(9.0))
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(stream.getvalue())
        for position in generator.integers(len(damaged), size=3):
            damaged[position] = generator.integers(256)
        path = write_file(tmp_path / "a.npz", bytes(damaged))
        with contextlib.suppress(UserError):
            assert len(file(path).x) == 9


@pytest.mark.parametrize("name", ["a.npz", "a.csv"])
def test_a_pickle_is_refused_and_its_code_is_not_run(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "created by the pickle"
    plain = pickle.dumps(CreatesFile(mark))
    objects = npz(x=np.array([CreatesFile(mark), 1], dtype=object), y=np.zeros(2))
    assert mark.exists(), "pickling creates the file once"
    mark.unlink()
    for content in (plain, objects, archive(x=plain, y=npy(Y))):
        assert error_message(write_file(tmp_path / name, content)).startswith("data.path=")
        assert not mark.exists()


def test_a_missing_path_is_reported() -> None:
    message = "data.path is missing: give a CSV or NPZ file, as in data=file data.path=points.csv"
    assert error_message() == message
    assert error_message("") == message


@pytest.mark.parametrize("name", ["none.csv", "none.npz", "folder/none.csv"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    assert error_message(str(tmp_path / name)) == f"data.path={tmp_path / name}: no such file"


@pytest.mark.parametrize("name", ["folder", "folder.npz"])
def test_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    assert error_message(str(tmp_path / name)) == f"data.path={tmp_path / name}: is a folder; give a CSV or NPZ file"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read every file")
@pytest.mark.parametrize("name", ["a.csv", "a.npz"])
def test_an_unreadable_file_is_refused(name: str, tmp_path: Path) -> None:
    path = write_file(tmp_path / name, "x,y\n1,2\n3,4\n")
    os.chmod(path, 0)
    assert error_message(path) == f"data.path={path}: cannot be read (Permission denied)"


def test_test_points_are_read_from_their_own_file(tmp_path: Path) -> None:
    train = write_file(tmp_path / "train.csv", "x,y\n0,1\n1,2\n")
    data = file(train, write_file(tmp_path / "test.npz", npz(x=X, y=Y)))
    assert data.x_test is not None
    assert data.y_test is not None
    assert (data.x_test.tolist(), data.y_test.tolist()) == ([0.25, 1.0, 2.0], [-1e-3, 3.0, 0.5])
    assert (data.x.tolist(), data.domain) == ([0, 1], (0, 1))


def test_one_test_point_is_enough(tmp_path: Path) -> None:
    train = write_file(tmp_path / "train.csv", "x,y\n0,1\n1,2\n")
    data = file(train, write_file(tmp_path / "test.csv", "x,y\n5,6\n"))
    assert data.x_test is not None
    assert data.x_test.tolist() == [5]
    none = write_file(tmp_path / "none.csv", "x,y\n")
    assert error_message(train, none) == f"data.test_path={none}: has 0 rows of data; at least 1 are needed"


def test_an_error_in_the_test_points_names_their_key(tmp_path: Path) -> None:
    train = write_file(tmp_path / "train.csv", "x,y\n0,1\n1,2\n")
    bad = write_file(tmp_path / "bad.csv", "x,y\n0,a\n")
    assert error_message(train, bad).startswith(f"data.test_path={bad}: line 2: y is 'a'")
