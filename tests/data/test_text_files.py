"""Text files as people have them: every separator, decimal mark, thousands mark, header and quoting."""

import csv
import io
import itertools
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from reluviz.data import file
from reluviz.errors import UserError

CASES = Path(__file__).parent / "cases"
OTHER = {".": ",", ",": "."}


def write(tmp_path: Path, text: str, name: str = "a.csv") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def read(tmp_path: Path, text: str, **choices: str | int | None) -> tuple[list[float], list[float]]:
    data = file(write(tmp_path, text), **choices)  # type: ignore[arg-type]
    return data.x.tolist(), data.y.tolist()


def note(tmp_path: Path, text: str, **choices: str | int | None) -> str:
    return " ".join(file(write(tmp_path, text), **choices).notes)  # type: ignore[arg-type]


def refusal(tmp_path: Path, text: str, **choices: str | int | None) -> str:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        file(path, **choices)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"data.path={path}: ")
    assert "\n" not in message
    assert len(message) < 500
    return message.removeprefix(f"data.path={path}: ")


# the grid: 5 separators, 2 decimal marks, 4 thousands marks, 4 headers, 2 ways to quote, 7 sets of values
SEPARATORS = {"commas": ",", "semicolons": ";", "tabs": "\t", "bars": "|", "blanks": " "}
THOUSANDS = {"none": "", "other": "other", "blank": " ", "apostrophe": "'"}
HEADERS = ("none", "names", "units", "comment")
VALUES = {
    "decisive": [(0.5, 12.5), (1.5, 1000.25), (2.25, 3.0), (1234.5, 98765.0)],
    "whole": [(1, 10), (2, 20), (3, 15), (4, 0)],
    "x decides": [(1.5, 39343), (2.5, 46205), (3.5, 37731), (4.5, 950)],
    "below one": [(1, 0.125), (2, 1.375), (3, 2.625)],
    "millions": [(1, 1234567), (2, 2345678), (3, 3456789)],
    "like 1,234": [(1, 1.234), (2, 2.345), (3, 3.456)],
    "like 1,234 in thousands": [(1, 1234), (2, 2345), (3, 3456)],
}
UNDECIDED = ("like 1,234", "like 1,234 in thousands", "millions")
"""Values that have marks like 1,234 only; millions where blanks may separate columns or thousands."""
GRID = list(itertools.product(SEPARATORS, ".,", THOUSANDS, HEADERS, (False, True), VALUES))


def written(number: float, decimal: str, thousands: str) -> str:
    between = OTHER[decimal] if thousands == "other" else thousands
    text = f"{number:,.6f}".rstrip("0").rstrip(".")
    return text.replace(",", "T").replace(".", decimal).replace("T", between)


def grid_file(case: tuple[str, str, str, str, bool, str]) -> tuple[str, bool]:
    """Return the text of a case, and whether a cell without quotes holds the separator, so that the file is broken."""
    separator, decimal, thousands, header, quoted, values = case
    between = SEPARATORS[separator]
    cells = [[written(one, decimal, THOUSANDS[thousands]) for one in row] for row in VALUES[values]]
    broken = not quoted and any(between in cell for row in cells for cell in row)
    names = {"names": ["x", "y"], "units": ["Zeit [s]", "Weg [m]"]}.get(header, [])
    names = [f'"{name}"' for name in names] if quoted or (separator == "blanks" and header == "units") else names
    lines = [[f'"{cell}"' if quoted else cell for cell in row] for row in cells]
    rows = [between.join(row) for row in ([names] if names else []) + lines]
    return "\n".join([f"# x{between}y"] * (header == "comment") + rows) + "\n", broken


def attempt(path: str, decimal: str | None = None) -> tuple[list[tuple[float, float]] | None, str]:
    """Return the points of a file and its notes; or None and the message."""
    try:
        data = file(path, decimal=decimal)
    except UserError as error:
        return None, str(error)
    return list(zip(data.x.tolist(), data.y.tolist(), strict=True)), " ".join(data.notes)


def test_no_file_of_the_grid_is_read_wrongly_in_silence_and_each_that_can_be_decided_is_read(tmp_path: Path) -> None:
    assert len(GRID) >= 400
    outcomes: Counter[str] = Counter()
    for case in GRID:
        (text, broken), values = grid_file(case), VALUES[case[-1]]
        found, said = attempt(write(tmp_path, text))
        if found == values:
            outcomes["read"] += 1
        elif found is not None:
            # unquoted numbers between commas have no decimal comma; a line says so
            outcomes["read with a line"] += 1
            assert said.startswith("a.csv: ")
            assert "has a decimal point, as commas separate columns (data.decimal=comma reads thousands)" in said, case
            assert attempt(write(tmp_path, text), "comma")[0] == values
        elif broken:
            outcomes["broken"] += 1
        else:
            assert case[-1] in UNDECIDED, (case, said)
            assert "nothing in the file decides" in said, (case, said)
            if "may separate its columns" in said:
                outcomes["two separators"] += 1
                continue
            outcomes["refused"] += 1
            mark = {".": "point", ",": "comma"}[case[1]]
            assert f"data.decimal={mark} reads" in said
            assert attempt(write(tmp_path, text), mark)[0] == values, case
    assert outcomes == {"read": 1760, "read with a line": 4, "broken": 112, "two separators": 4, "refused": 360}


def test_no_random_file_of_a_csv_writer_is_read_wrongly_in_silence(tmp_path: Path) -> None:
    draw = random.Random(0)
    outcomes: Counter[str] = Counter()
    for _ in range(500):
        decimal, places = draw.choice(".,"), draw.choice([0, 1, 2, 3, 4])
        between = draw.choice(["", OTHER[decimal], " ", "\u00a0", "\u202f", "'", "\u2019"])
        size = draw.choice([1, 10, 1000, 1e5, 1e7])
        values = [[round(draw.uniform(-size, size), places) for _ in "xy"] for _ in range(draw.randint(2, 5))]
        values[0][0], values[1][0] = -size, size
        names = draw.choice([[], ["x", "y"], ["Zeit [s]", "Weg, in m"], ["X ", " Y"]])
        texts = [[f"{one:,.{places}f}".translate({44: between, 46: decimal}) for one in row] for row in values]
        if draw.random() < 0.5:
            label = draw.choice(["A{}", "Rome {}, left", "#{}", "{} x"])
            texts = [[label.format(number), *row] for number, row in enumerate(texts)]
            names = ["id", *names] if names else []
        stream = io.StringIO()
        quoting = draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        ends = draw.choice(["\n", "\r\n"])
        writer = csv.writer(stream, delimiter=draw.choice(",;\t| "), quoting=quoting, lineterminator=ends)
        writer.writerows([names] * bool(names) + texts)
        found, said = attempt(write(tmp_path, stream.getvalue()))
        if found is None:
            reasons = ("nothing in the file decides", "equal numbers are needed", "put quotes around names")
            assert any(reason in said for reason in reasons), (stream.getvalue(), said)
            outcomes["refused"] += 1
        elif sorted(found) != sorted(tuple(row) for row in values):
            assert "has a decimal point, as commas separate columns" in said, (stream.getvalue(), found)
            outcomes["read with a line"] += 1
        else:
            outcomes["read"] += 1
    assert outcomes["read"] > 400, outcomes


@pytest.mark.parametrize(
    ("name", "choices", "x", "y"),
    [
        ("01_salary_header.csv", {}, [1.2, 3.0, 5.1, 10.5], [39000, 60000, 66000, 121000]),
        ("02_mcycle_index.csv", {"x": "times", "y": "accel"}, [2.4, 2.6, 14.6, 21.2], [0, -1.3, -22.8, -134]),
        ("03_no_header.txt", {}, [5.5277, 6.1101, 8.5186], [9.1302, 17.592, 13.662]),
        ("13_units_header.csv", {}, [0.1, 0.2, 0.3], [2, 4, 7]),
        ("13_units_header.csv", {"x": "x [s]", "y": "y [m/s]"}, [0.1, 0.2, 0.3], [2, 4, 7]),
        ("28_spaces.txt", {}, [1, 2, 3], [2, 4, 6]),
        ("37_savetxt_ws.txt", {}, [1, 2, 3], [2, 4, 6]),
        ("59_us_tab_export_dot_x.tsv", {}, [1.1, 1.3, 1.5, 2.0], [39343, 46205, 37731, 950]),
        ("60_header_with_quoted_commas.csv", {}, [1, 2, 3], [2, 4, 6]),
    ],
)
def test_a_file_of_the_collection_is_read(name: str, choices: dict[str, str], x: list[float], y: list[float]) -> None:
    data = file(str(CASES / name), **choices)  # type: ignore[arg-type]
    assert (data.x.tolist(), data.y.tolist()) == (x, y)


def test_a_long_file_of_the_collection_is_read() -> None:
    data = file(str(CASES / "71_years_y_thousands.csv"))
    expected = np.loadtxt(CASES / "71_years_y_thousands.csv", delimiter=",", skiprows=1)
    order = np.argsort(expected[:, 0], kind="stable")
    np.testing.assert_array_equal(np.stack([data.x, data.y], axis=1), expected[order])
    assert data.notes == ()


def test_a_file_of_the_collection_with_two_decimal_marks_is_refused() -> None:
    path = str(CASES / "57_semicolon_decimal_mixed.csv")
    for mark in (None, "comma", "point"):
        assert attempt(path, mark)[0] is None
    reason = (
        "line 2: y is '2,5', but in line 2 x is '1.5'; a file needs one decimal mark, and one mark between thousands"
    )
    assert attempt(path)[1] == f"data.path={path}: {reason}"


def test_a_file_of_the_collection_with_three_columns_of_numbers_asks_which() -> None:
    _, said = attempt(str(CASES / "02_mcycle_index.csv"))
    assert "has no column x and no column y in its header, line 1 ('Index', 'times', 'accel')" in said
    assert said.endswith("3 columns of numbers; data.x= and data.y= choose two, by name or by number from 0")


THREE = "Year,Height [cm],weight in kg\n1,10,7\n2,20,5\n3,15,9\n"


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("Year", "weight in kg"),
        ("year", "WEIGHT IN KG"),
        ("  Year ", "weight  in kg"),
        (0, 2),
        ("0", "2"),
        ("Year", 2),
    ],
)
def test_columns_are_chosen_by_name_as_typed_or_by_number(x: str | int, y: str | int, tmp_path: Path) -> None:
    assert read(tmp_path, THREE, x=x, y=y) == ([1, 2, 3], [7, 5, 9])
    assert read(tmp_path, THREE, x="height [CM]", y=0) == ([10, 15, 20], [1, 3, 2])


def test_a_name_that_is_the_number_goes_first(tmp_path: Path) -> None:
    text = ",1,0\n0,5,50\n1,6,40\n2,7,30\n"
    assert read(tmp_path, "a,1,0\n0,5,50\n1,6,40\n2,7,30\n", x=1, y="0") == ([5, 6, 7], [50, 40, 30])
    assert read(tmp_path, "a,b,1\n0,5,50\n1,6,40\n2,7,30\n", x=1, y=0) == ([30, 40, 50], [2, 1, 0])
    # numbers where names could be are points, unless they count the columns
    assert read(tmp_path, text, x=1, y=2) == ([1, 5, 6, 7], [0, 50, 40, 30])
    assert read(tmp_path, ",0,1\n0,5,50\n1,6,40\n", x="0", y="1") == ([5, 6], [50, 40])


def test_a_name_in_its_own_case_goes_first(tmp_path: Path) -> None:
    text = "t,T,y\n1,10,7\n2,20,5\n"
    assert read(tmp_path, text, x="T") == ([10, 20], [7, 5])
    assert read(tmp_path, text, x="t") == ([1, 2], [7, 5])
    assert refusal(tmp_path, "t,T,y\n1,2,3\n", x=" t") == (
        "data.x= t: is the name of 2 columns; give the number of one, 0 or 1"
    )


def test_a_column_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    assert refusal(tmp_path, THREE, x="age", y=0) == (
        "data.x=age: there is no such column; there are 'Year', 'Height [cm]', 'weight in kg', or by number 0 to 2"
    )
    assert refusal(tmp_path, THREE, x=0, y=3).startswith("data.y=3: there is no such column; there are 'Year', ")
    assert refusal(tmp_path, "1,2\n3,4\n", x="t", y=0) == (
        "data.x=t: there is no such column; it has no names, but by number 0 to 1"
    )
    assert refusal(tmp_path, THREE, x=0, y="year").startswith(
        "x and y are the same column, 'Year'; data.x= and data.y="
    )


def test_one_named_column_leaves_the_other_of_two(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b,name\n1,2,u\n3,4,v\n", x="b") == ([2, 4], [1, 3])
    assert "has no column y" in refusal(tmp_path, THREE, x="Year")


NO_HEADER = {
    "commas": "0.5,2\n1.5,4\n2,3\n",
    "semicolons": "0,5;2\n1,5;4\n2;3\n",
    "tabs": "0.5\t2\n1.5\t4\n2\t3\n",
    "blanks": "0.5 2\n1.5 4\n2 3\n",
    "aligned blanks": "  0.5    2\n 1.5  4\n2      3\n",
    "bars": "0.5|2\n1.5|4\n2|3\n",
    "a frame": "| 0.5 | 2 |\n| 1.5 | 4 |\n| 2 | 3 |\n",
    "blanks and decimal commas": "0,5 2\n1,5 4\n2 3\n",
}


@pytest.mark.parametrize("text", NO_HEADER.values(), ids=NO_HEADER)
def test_a_file_without_a_header_is_read_with_every_separator(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == ([0.5, 1.5, 2], [2, 4, 3])
    assert note(tmp_path, text) == "a.csv: x is column 0, y is column 1, its only two columns of numbers (no header)"


WITH_HEADER = {
    "blanks": "x y\n0.5 2\n1.5 4\n",
    "aligned blanks": "   x    y\n0.5    2\n1.5    4\n",
    "bars": "x|y\n0.5|2\n1.5|4\n",
    "a printed table": "| x | y |\n|---|:-:|\n| 0.5 | 2 |\n| 1.5 | 4 |\n",
    "a table of a database": "  x  | y\n-----+---\n 0.5 | 2\n 1.5 | 4\n",
    "tabs and blanks": "x \ty\n0.5 \t 2\n1.5\t4\n",
    "names with blanks in quotes": '"name a" x y\nu 0.5 2\nv 1.5 4\n',
}


@pytest.mark.parametrize("text", WITH_HEADER.values(), ids=WITH_HEADER)
def test_columns_are_separated_by_blanks_tabs_or_bars(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == ([0.5, 1.5], [2, 4])
    assert note(tmp_path, text) == ""


@pytest.mark.parametrize(
    "header", ["x y", "y x", "x, y", "x\ty", "X Y", "time: x\nx y", "x y\nin seconds, in metres per hour"]
)
def test_a_header_of_savetxt_names_the_columns(header: str, tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a.txt", [[0.5, 2], [1.5, 4]], header=header)
    data = file(str(tmp_path / "a.txt"))
    swapped = header.startswith("y")
    assert (data.x.tolist(), data.y.tolist()) == (([2, 4], [0.5, 1.5]) if swapped else ([0.5, 1.5], [2, 4]))
    assert data.notes == ()


def test_a_comment_that_two_separators_suit_is_split_by_the_first_of_them(tmp_path: Path) -> None:
    assert "x is 'a', y is 'b;c'" in note(tmp_path, "# a,b;c\n1 2\n3 4\n")
    assert "x is 'a,b', y is 'c'" in note(tmp_path, "# a,b;c\n1;2\n3;4\n")


def test_savetxt_without_a_header_is_read(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a.txt", [[0.5, 2], [1.5, 4]])
    assert file(str(tmp_path / "a.txt")).y.tolist() == [2, 4]


INDEXED = {
    "without a name": ",x,y\n0,0.5,2\n1,1.5,4\n",
    "of R's write.csv": '"","x","y"\n"1",0.5,2\n"2",1.5,4\n',
    "of R's write.table": '"x" "y"\n"1" 0.5 2\n"2" 1.5 4\n',
    "of R with names": '"x" "y"\n"Mazda RX4" 0.5 2\n"Fiat 128" 1.5 4\n',
    "of R with tabs": "x\ty\nA\t0.5\t2\nB\t1.5\t4\n",
    "with a name": "Index,x,y\n0,0.5,2\n1,1.5,4\n",
}


@pytest.mark.parametrize("text", INDEXED.values(), ids=INDEXED)
def test_an_index_column_is_left_out(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == ([0.5, 1.5], [2, 4])


def test_a_blank_between_thousands_is_no_index(tmp_path: Path) -> None:
    assert "line 2 has 3 columns and the header 2" in refusal(tmp_path, "x y\n1 234 5\n2 345 6\n")
    assert "line 2 has 3 columns and the header 2" in refusal(tmp_path, "x y\n1 1 234\n2 2 345\n")
    assert "line 2 has 3 columns and the header 2" in refusal(tmp_path, "x,y\n0,5,1\n1,5,2\n")


MARKED = {
    "all": "id,x,y\n#1,0.5,2\n#2,1.5,4\n",
    "all, without a header": "#1,0.5,2\n#2,1.5,4\n",
    "all, below a comment": "# from the shop\nid,x,y\n#1,0.5,2\n# a pause\n#2,1.5,4\n",
    "in quotes": 'id,x,y\n"#1",0.5,2\n"#2",1.5,4\n',
    "blanks": "id x y\n#1 0.5 2\n#2 1.5 4\n",
    "not first": "x,id,y\n0.5,#1,2\n1.5,#2,4\n",
    "only in the header": "#,x,y\n1,0.5,2\n2,1.5,4\n",
}


@pytest.mark.parametrize("text", MARKED.values(), ids=MARKED)
def test_names_of_rows_may_begin_with_a_hash(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == ([0.5, 1.5], [2, 4])


def test_a_row_that_is_a_comment_is_skipped_and_a_line_says_so(tmp_path: Path) -> None:
    text = "x,y\n0.5,2\n# 1,3\n1.5,4\n#2,9\n# a pause\n"
    assert read(tmp_path, text) == ([0.5, 1.5], [2, 4])
    assert note(tmp_path, text) == "a.csv: 2 lines that begin with # skipped (line 3)"


def test_quoted_headers_may_hold_commas(tmp_path: Path) -> None:
    text = '"Weg, in m",x,"y, gemessen"\n1,0.5,2\n2,1.5,4\n'
    assert read(tmp_path, text, y="Weg, in m") == ([0.5, 1.5], [1, 2])
    assert read(tmp_path, text, y="y, gemessen") == ([0.5, 1.5], [2, 4])


def test_a_header_with_more_names_than_columns_is_refused(tmp_path: Path) -> None:
    # a comma in a name must not move the names after it
    assert refusal(tmp_path, "Weg (x, m),x,y,z\n1,2,3,4\n5,6,7,8\n") == (
        "the header has 5 names ('Weg (x', 'm)', 'x', 'y', 'z') and the rows fewer columns; put quotes around names"
        " with commas"
    )
    assert "put quotes around names with blanks" in refusal(tmp_path, "x [s] y [m]\n1 2\n3 4\n")
    assert read(tmp_path, "x,y,note\n1,2,\n3,4,\n") == ([1, 3], [2, 4])


DECIDED = {
    "a decimal point elsewhere": ("x;y\n1.5;1,234\n2;3\n", 1234),
    "a decimal comma elsewhere": ("x;y\n1,5;1,234\n2;3\n", 1.234),
    "two groups": ("x;y\n1,000,000;1,234\n2;3\n", 1234),
    "both marks": ("x;y\n1.000,5;1,234\n2;3\n", 1.234),
    "a leading zero": ("x;y\n0,125;1,234\n2;3\n", 1.234),
    "four digits before the mark": ("x;y\n1234,125;1,234\n2;3\n", 1.234),
    "an exponent": ("x;y\n1;1,234e0\n2;3\n", 1.234),
    "a blank between thousands": ("x;y\n1 234;1,234\n2;3\n", 1.234),
    "a third column": ("x;y;z\n1;1,234;0,5\n2;3;7\n", 1.234),
    "a third column with a point": ("x;y;z\n1;1,234;0.5\n2;3;7\n", 1234),
}


@pytest.mark.parametrize(("text", "value"), DECIDED.values(), ids=DECIDED)
def test_one_number_decides_the_decimal_mark_for_the_file(text: str, value: float, tmp_path: Path) -> None:
    assert value in read(tmp_path, text)[1]


def test_a_file_in_which_nothing_decides_is_refused_with_both_readings_and_can_be_settled(tmp_path: Path) -> None:
    for separator in ";\t|":
        text = f"x{separator}y\n1{separator}1,234\n2{separator}-2,345\n"
        assert refusal(tmp_path, text) == (
            "line 2: y is '1,234', which is 1.234 or 1234, and nothing in the file decides;"
            " data.decimal=comma reads 1.234, data.decimal=point reads 1234"
        )
        assert read(tmp_path, text, decimal="comma") == ([1, 2], [1.234, -2.345])
        assert read(tmp_path, text, decimal="point") == ([1, 2], [1234, -2345])
    text = "x y\n1 1.234\n2 2.345\n"
    assert "which is 1234 or 1.234, and nothing in the file decides" in refusal(tmp_path, text)
    assert read(tmp_path, text, decimal="point")[1] == [1.234, 2.345]


def test_numbers_that_do_not_suit_the_chosen_mark_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "x;y\n1;1.5\n2;3\n", decimal="comma") == (
        "line 2: y is '1.5'; with data.decimal=comma a plain number such as 1234,5 is needed"
    )
    with pytest.raises(UserError, match=r"^data\.decimal=dot: must be one of comma, point, either$"):
        file(write(tmp_path, "x,y\n1,2\n"), decimal="dot")


def test_thousands_have_one_mark_in_a_file(tmp_path: Path) -> None:
    assert read(tmp_path, "x;y\n1;1'234.5\n2;12'345\n")[1] == [1234.5, 12345]
    assert read(tmp_path, "x;y\n1;1\u202f234,5\n2;12\u00a0345\n")[1] == [1234.5, 12345]
    assert read(tmp_path, "x;y\n1;\u22121,5\n2;3\n")[1] == [-1.5, 3]
    for wrong in ("1,23,456", "1234,567,890", "1,2345,678", "1..5", "1 23", "0x1A", "1_000", "\u0661", "\u0131nf"):
        assert f"line 2: y is {wrong!r}; a plain number" in refusal(tmp_path, f"x;y\n1;{wrong}\n2;3\n3;4\n")


def test_a_no_break_space_separates_no_columns(tmp_path: Path) -> None:
    for blank in "\u00a0\u202f":
        assert read(tmp_path, f"1{blank}234 2{blank}345,5\n5{blank}234 7\n") == ([1234, 5234], [2345.5, 7])


def test_commas_and_quotes_in_a_column_of_words_change_nothing(tmp_path: Path) -> None:
    text = '"Rome, left"|"8,232.5"|"9,167"\n"Bonn, right"|"7,919.5"|"1,359"\n'
    assert read(tmp_path, text) == ([7919.5, 8232.5], [1359, 9167])
    assert read(tmp_path, 'name,x,y\n5" pipe,1,2\n6" pipe,2,3\n') == ([1, 2], [2, 3])
    assert read(tmp_path, 'name;x;y\n"a;b ""c""";1,5;2\n"d, e";2;3\n') == ([1.5, 2], [2, 3])


def test_two_columns_of_numbers_need_no_names_and_a_line_says_so(tmp_path: Path) -> None:
    text = "name,years,pay,town\nAnn,1.5,100,Rome\nBob,2.5,90,Bonn\n"
    assert read(tmp_path, text) == ([1.5, 2.5], [100, 90])
    assert note(tmp_path, text) == "a.csv: x is 'years', y is 'pay', its only two columns of numbers"


def test_a_gap_in_a_column_does_not_change_the_choice(tmp_path: Path) -> None:
    assert "3 columns of numbers" in refusal(tmp_path, "a,b,c\n1,2,3\n2,,4\n3,4,5\n")
    assert refusal(tmp_path, "a,b\n1,2\n2,\n3,4\n").startswith("line 3: y is missing; a plain number")
    assert refusal(tmp_path, "a,b\n1,2\n2,four\n3,4\n").startswith("line 3: y is 'four'; a plain number")
    assert refusal(tmp_path, "1,2\nNA,3\n3,4\n").startswith("line 2: x is 'NA'; a plain number")


def test_training_and_test_points_have_the_same_columns(tmp_path: Path) -> None:
    data = file(write(tmp_path, THREE), write(tmp_path, THREE, "b.csv"), x=0, y=2)
    assert data.x_test is not None
    assert data.y_test is not None
    assert data.x_test.tolist() == [1, 2, 3]
    assert data.y_test.tolist() == [7, 5, 9]


def test_arrays_of_an_archive_are_chosen_like_columns(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    np.savez(path, time=np.array([[2.0], [1.0]]), Speed=np.array([3, 4]))
    data = file(path)
    assert (data.x.tolist(), data.y.tolist()) == ([1, 2], [4, 3])
    assert data.notes == ("a.npz: x is 'time', y is 'Speed', its only two arrays of numbers",)
    assert file(path, x="speed", y=0).x.tolist() == [3, 4]


def test_a_home_folder_may_be_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path, "x,y\n1,2\n3,4\n")
    assert file("~/a.csv").y.tolist() == [2, 4]
    assert attempt("~/b.csv")[1] == "data.path=~/b.csv: no such file"


@pytest.mark.parametrize(("seed", "count"), [(0, 300), pytest.param(1, 1200, marks=pytest.mark.long)])
def test_random_texts_raise_no_other_exception(seed: int, count: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    pieces = [
        "1",
        "2,5",
        "1.234",
        "x",
        "y",
        ",",
        ";",
        "\t",
        "|",
        " ",
        "#",
        '"',
        "\n",
        "\n",
        "-",
        "nan",
        "\0",
        "---",
        "sep=;",
    ]
    for _ in range(count):
        attempt(write(tmp_path, "".join(generator.choice(pieces, size=generator.integers(1, 40)))))
