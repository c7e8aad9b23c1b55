"""Files as programs, devices and people leave them: each is read right, with a line if it is needed, or refused."""

import io
import random
import time
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reluviz import console
from reluviz.data import file
from reluviz.data.datamodule import FileData
from reluviz.errors import UserError


def write(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(tmp_path: Path, content: str | bytes, **choices: Any) -> tuple[list[float], list[float], str]:
    data = file(write(tmp_path, content), **choices)
    return data.x.tolist(), data.y.tolist(), " ".join(data.notes).removeprefix("a.csv: ")


def refusal(tmp_path: Path, content: str | bytes, **choices: Any) -> str:
    path = write(tmp_path, content)
    with pytest.raises(UserError) as caught:
        file(path, **choices)
    message = str(caught.value)
    assert message.startswith(f"data.path={path}: ")
    assert "\n" not in message
    assert len(message) < 400
    return message.removeprefix(f"data.path={path}: ")


def attempt(path: str) -> tuple[list[tuple[float, float]] | None, str]:
    """Return the points of a file; or None and the message."""
    try:
        data = file(path)
    except UserError as error:
        return None, str(error)
    return list(zip(data.x.tolist(), data.y.tolist(), strict=True)), ""


POINTS = ([0.5, 1.5], [2.0, 4.0])
FIRST_TWO = "its only two columns of numbers"
UNMARKED = {
    "utf-8": "",
    "utf-8-sig": "",
    "utf-16": "",
    "utf-32": "",
    "utf-16-le": "",
    "utf-16-be": "",
    "latin-1": "not in UTF-8, read as Windows-1252",
    "cp1252": "not in UTF-8, read as Windows-1252",
}


@pytest.mark.parametrize(("encoding", "note"), UNMARKED.items(), ids=UNMARKED)
def test_a_text_in_another_encoding_is_read_and_a_line_says_what_was_assumed(
    encoding: str, note: str, tmp_path: Path
) -> None:
    text = "Größe;x;y\r\nklein;0,5;2\r\ngroß;1,5;4\r\n"
    assert read(tmp_path, text.encode(encoding)) == (*POINTS, note)
    named = text.replace("x;y", "Länge;y").encode(encoding)
    assert read(tmp_path, named, x="länge")[:2] == POINTS


def test_marks_of_windows_1252_within_numbers_are_read(tmp_path: Path) -> None:
    for mark in "\u00a0\u2019":
        content = f"Größe;y\n1{mark}234,5;2\n3;4\n".encode("cp1252")
        assert read(tmp_path, content)[:2] == ([3, 1234.5], [4, 2])


@pytest.mark.parametrize("encoding", ["mac-roman", "cp437", "shift-jis", "gbk", "cp1251", "euc-kr"])
def test_numbers_are_right_in_encodings_that_are_taken_for_another_one(encoding: str, tmp_path: Path) -> None:
    names = {"mac-roman": "Größe", "cp437": "Größe", "cp1251": "Рост"}.get(
        encoding, "時間" if "j" in encoding else "时间"
    )
    names = "시간" if encoding == "euc-kr" else names
    content = f"{names};v\n0,5;2\n1,5;4\n".encode(encoding)
    if any(byte in content for byte in b"\x81\x8d\x8f\x90\x9d"):
        # Windows-1252 lacks these
        assert "is not text in UTF-8" in refusal(tmp_path, content)
        return
    found = read(tmp_path, content)
    assert found[:2] == POINTS
    assert found[2].startswith("not in UTF-8, read as Windows-1252; x is ")


def test_a_broken_character_of_utf_8_never_becomes_a_part_of_a_number(tmp_path: Path) -> None:
    # one byte elsewhere is no UTF-8, so that the marks within numbers are read as several characters
    for mark in ("\u202f", "\u2212", "\u2009"):
        content = f"\u00e4;x;y\na;1{mark}234,5;2\nb;3;4\n".encode() + b"\xff;5;6\n"
        assert "is needed" in refusal(tmp_path, content)


TITLED = {
    "a title": ("My data\nx,y\n0.5,2\n1.5,4\n", "line 1"),
    "a title with a separator": ("My data, measured on Monday\nx,y\n0.5,2\n1.5,4\n", "line 1"),
    "a title and a blank line": ("My data\n\nx;y\n0,5;2\n1,5;4\n", "line 1"),
    "a title of Excel": ("My data,,\n,,\nx,y,\n0.5,2,\n1.5,4,\n", "line 1"),
    "a title above blanks": ("measured in my garden\nx y\n0.5 2\n1.5 4\n", "line 1"),
    "two titles": ("Date:,2024-01-01\nStation:,Rome\nx,y\n0.5,2\n1.5,4\n", "lines 1, 2"),
    "units": ("x,y\ns,m\n0.5,2\n1.5,4\n", "line 2"),
    "units in brackets": ("x\ty\n[s]\t[m/s]\n0.5\t2\n1.5\t4\n", "line 2"),
    "a unit of one column": ("x;y\n-;m\n0,5;2\n1,5;4\n", "line 2"),
    "units above rows that begin with #": ("id,x,y\n-,s,m\n#1,0.5,2\n#2,1.5,4\n", "line 2"),
    "a title and units": ("My data\nx,y\ns,m\n0.5,2\n1.5,4\n", "lines 1, 3"),
    "a remark below": ("x,y\n0.5,2\n1.5,4\n\nSource: my garden\n", "line 5"),
    "remarks below": ("x,y\n0.5,2\n1.5,4\n* estimated\nSource: my garden\n", "lines 4, 5"),
    "zeros of a file system below": ("x,y\n0.5,2\n1.5,4\n\0\0\0", "line 4"),
}


@pytest.mark.parametrize(("text", "lines"), TITLED.values(), ids=TITLED)
def test_titles_units_and_remarks_are_left_out_and_a_line_says_so(text: str, lines: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == (*POINTS, f"{lines} without numbers left out")


def test_the_header_below_a_title_is_the_row_with_the_names_that_are_wanted(tmp_path: Path) -> None:
    text = "Garden, in May\ntime,height\ns,cm\n0.5,2\n1.5,4\n"
    assert read(tmp_path, text, x="TIME", y="height") == (*POINTS, "lines 1, 3 without numbers left out")
    assert read(tmp_path, text, x=1, y=0)[:2] == (POINTS[1], POINTS[0])
    assert read(tmp_path, "time,height\ns,cm\n0.5,2\n1.5,4\n")[2].startswith("x is 'time', y is 'height', its only two")


def test_nothing_is_left_out_that_may_be_a_row(tmp_path: Path) -> None:
    # the name of a single column above decimal commas is no title
    assert "line 2 has 2 columns and the header 1" in refusal(tmp_path, "Temperature\n1,5\n2,6\n")
    # rows in which numbers are missing are no units and no remarks
    assert "line 2: x is missing" in refusal(tmp_path, "name,x,y\nAnn,,\nBob,1,2\nCyd,2,3\n")
    assert "line 4: x is missing" in refusal(tmp_path, "name,x,y\nBob,1,2\nCyd,2,3\nAnn,,\n")
    assert "line 2: x is 'NA'" in refusal(tmp_path, "x,y\nNA,NA\n1,2\n3,4\n")
    # a row with any number stays
    assert "line 2: y is 'high'" in refusal(tmp_path, "x,y\n1,high\n2,3\n3,4\n")
    assert "line 4: x is 'Total'" in refusal(tmp_path, "x,y\n1,2\n3,4\nTotal,6\n")
    assert "line 3: x is 'x'" in refusal(tmp_path, "x,y\n1,2\nx,y\n3,4\n")
    assert "line 2: x is 'time'" in refusal(tmp_path, "Serial,1234\ntime,height\n0.5,2\n1.5,4\n")


PRINTED = {
    "PostgreSQL": "  x  | y\n-----+---\n 0.5 | 2\n 1.5 | 4\n(2 rows)\n\n",
    "MySQL": "+-----+---+\n| x   | y |\n+-----+---+\n| 0.5 | 2 |\n| 1.5 | 4 |\n+-----+---+\n2 rows in set (0.00 sec)\n",
    "Markdown": "| x | y |\n|:--|--:|\n| 0.5 | 2 |\n| 1.5 | 4 |\n",
    "R": '"x" "y"\n"1" 0.5 2\n"2" 1.5 4\n',
    "R, not quoted": "x y\n1 0.5 2\n2 1.5 4\n",
    "R, write.csv2": '"";"x";"y"\n"1";0,5;2\n"2";1,5;4\n',
    "pandas": ",x,y\n0,0.5,2\n1,1.5,4\n",
    "pandas, to_string": "     x    y\n0  0.5  2.0\n1  1.5  4.0\n",
    "NumPy": "5.000000000000000000e-01 2.000000000000000000e+00\n1.500000000000000000e+00 4.000000000000000000e+00\n",
    "Fortran": "   5.0000D-01   2.0D+00\n   1.5000D+00   4.0D+00\n",
    "Excel": "sep=;\r\nx;y\r\n0,5;2\r\n1,5;4\r\n",
    "gnuplot": "# plot 'a' using 1:2\n# x y\n0.5 2\n\n1.5 4\n# end\n",
    "Octave": "# Created by Octave\n# name: A\n# type: matrix\n 0.5 2\n 1.5 4\n",
    "LaTeX": "x & y \\\\\n0.5 & 2 \\\\\n1.5 & 4 \\\\\n",
    "an oscilloscope": "x,y,\ns,V,\n+5.0E-01,2,\n+1.5E+00,4,\n",
    "old and new line ends": "x,y\r0.5,2\r\n1.5,4\n\r\n",
    "a converter of line ends": "x,y\r\r\n0.5,2\r\r\n1.5,4\r\r\n",
    "a separator before the first column": "\tx\ty\n\t0.5\t2\n\t1.5\t4\n",
    "a separator after the last column": "0,5;2;\n1,5;4;\n",
    "quotes around everything": '"x";"y"\n"0,5";"2"\n"1,5";"4"\n',
    "signs": "x,y\n+.5,+2.\n1.5,4\n",
    "an end of file of CP/M": "x,y\n0.5,2\n1.5,4\n\x1a",
}


@pytest.mark.parametrize("text", PRINTED.values(), ids=PRINTED)
def test_what_a_program_writes_is_read(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text)[:2] == POINTS


def test_blocks_of_gnuplot_are_read_as_one_and_a_line_says_so(tmp_path: Path) -> None:
    text = "# A\n0 1\n1 2\n\n\n# B\n0 3\n1 4\n"
    x, y, note = read(tmp_path, text)
    assert (x, y) == ([0, 0, 1, 1], [1, 3, 2, 4])
    assert note.endswith("(no header); 2 blocks of rows, with blank lines between them, are read as one")
    assert "blocks" not in read(tmp_path, "x y\n\n\n0 1\n\n1 2\n# A\n\n# B\n3 4\n\n\n")[2]


NUMBERED = {
    "no name": ",time,speed\n0,0.5,2\n1,1.5,4\n",
    "rows that were sorted": ",time,speed\n1,0.5,2\n0,1.5,4\n",
    "a second time": "Unnamed: 0,time,speed\n0,0.5,2\n1,1.5,4\n",
    "R": '"","time","speed"\n"1",0.5,2\n"2",1.5,4\n',
}


@pytest.mark.parametrize("text", NUMBERED.values(), ids=NUMBERED)
def test_an_index_without_a_name_is_no_choice(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == (*POINTS, f"x is 'time', y is 'speed', {FIRST_TWO} beside its index")
    assert read(tmp_path, text, x=0, y="speed")[1] in ([2, 4], [4, 2])


def test_a_column_without_a_name_that_is_no_index_is_a_choice(tmp_path: Path) -> None:
    for text in (
        ",a,b\n1990,2,3\n1991,4,5\n",
        ",a,b\n1,2,3\n1,4,5\n",
        ",a,b\n0.5,2,3\n1.5,4,5\n",
        "n,a,b\n0,2,3\n1,4,5\n",
    ):
        assert "3 columns of numbers; data.x= and data.y= choose two" in refusal(tmp_path, text)


def test_quoted_numbers_above_plain_ones_are_names(tmp_path: Path) -> None:
    assert read(tmp_path, '"2019","2020"\n0.5,2\n1.5,4\n') == (*POINTS, f"x is '2019', y is '2020', {FIRST_TWO}")
    assert read(tmp_path, '"","2019","2020"\n"a",0.5,2\n"b",1.5,4\n', x="2020", y="2019")[:2] == ([2, 4], [0.5, 1.5])
    for text in ("2019,2020\n0.5,2\n1.5,4\n", '"2019","2020"\n"0.5",2\n1.5,4\n'):
        x, _, note = read(tmp_path, text)
        assert x == [0.5, 1.5, 2019]
        assert note.endswith("(no header)")


def test_names_that_stand_twice_are_chosen_by_number(tmp_path: Path) -> None:
    assert "is the name of 2 columns; give the number of one, 0 or 1" in refusal(
        tmp_path, "a,a,b\n1,2,3\n4,5,6\n", x="a"
    )
    assert read(tmp_path, "a,a,b\n1,2,3\n4,5,6\n", x=1, y=2)[:2] == ([2, 5], [3, 6])


PLAIN = "a plain number such as 1234.5 is needed"
MISSING = f"{PLAIN} (leave out rows in which a number is missing)"
DATES = "give dates and times as numbers, such as years or hours"
REFUSED = {
    "NA": ("x,y\n1,NA\n2,3\n3,4\n", f"line 2: y is 'NA'; {MISSING}"),
    "an empty cell": ("x,y\n1,\n2,3\n", f"line 2: y is missing; {MISSING}"),
    "a blank cell": ("x,y\n1, \n2,3\n", f"line 2: y is missing; {MISSING}"),
    "a dash": ("x,y\n1,-\n2,3\n3,4\n", f"line 2: y is '-'; {MISSING}"),
    "a question mark": ("x,y\n1,?\n2,3\n3,4\n", f"line 2: y is '?'; {MISSING}"),
    "NaN": ("x,y\n1,NaN\n2,3\n", "line 2: y is NaN; a finite number is needed"),
    "infinity": ("x,y\n1,-Inf\n2,3\n", "line 2: y is -Inf; a finite number is needed"),
    "percent": ("x,y\n1,5%\n2,6%\n", f"line 2: y is '5%'; {PLAIN} (leave out '%')"),
    "dollars": ("x;y\n1;$1,234.50\n2;$5\n", f"line 2: y is '$1,234.50'; {PLAIN} (leave out '$')"),
    "euros": ("x;y\n1;5,50 €\n2;6 €\n", f"line 2: y is '5,50 €'; {PLAIN} (leave out '€')"),
    "a unit": ("x,y\n1 km/h,2\n2 km/h,3\n", f"line 2: x is '1 km/h'; {PLAIN} (leave out 'km/h')"),
    "negative numbers of accounts": ("x,y\n1,(500)\n2,3\n3,4\n", f"line 2: y is '(500)'; {PLAIN} (give negative"),
    "a date": ("x,y\n2020-01-31,5\n2020-02-01,6\n", f"line 2: x is '2020-01-31'; {PLAIN} ({DATES})"),
    "a time stamp": (
        "x,y\n2020-01-31T10:00:00Z,5\n2020-02-01,6\n",
        f"line 2: x is '2020-01-31T10:00:00Z'; {PLAIN} ({DATES})",
    ),
    "a German date": ("x;y\n31.01.2020;5,5\n01.02.2020;6,5\n", f"line 2: x is '31.01.2020'; {PLAIN} ({DATES})"),
    "a time": ("x,y\n12:30,5\n12:40,6\n", f"line 2: x is '12:30'; {PLAIN} ({DATES})"),
    "dates without names": (
        "date,price\n01/02/2020,5\n02/02/2020,6\n",
        f"1 column of numbers; two are needed, x and y (line 2 has '01/02/2020'; {DATES})",
    ),
    "percent without names": ("a,b\n1,5%\n2,6%\n", "two are needed, x and y (line 2 has '5%'; leave out '%')"),
    "months": ("month,y\nJan,5\nFeb,6\n", "('month', 'y'), and 1 column of numbers; two are needed"),
    "true and false": ("x,y\n1,TRUE\n2,FALSE\n", f"line 2: y is 'TRUE'; {PLAIN}"),
    "hexadecimal": ("x,y\n0x1A,2\n0x1B,3\n", f"line 2: x is '0x1A'; {PLAIN}"),
    "an en dash": ("x;y\n–1,5;2\n3;4\n", f"line 2: x is '–1,5'; {PLAIN}"),
    "a minus behind": ("x;y\n1;5-\n2;3\n", f"line 2: y is '5-'; {PLAIN}"),
    "lakhs": ("x;y\n1,23,456;2\n3;4\n", f"line 2: x is '1,23,456'; {PLAIN}"),
    "a fraction": ("x,y\n1/2,2\n3/4,3\n", f"line 2: x is '1/2'; {PLAIN}"),
    "an error bar": ("x,y\n1±0.1,2\n2±0.1,3\n", f"line 2: x is '1±0.1'; {PLAIN}"),
    "a complex number": ("x,y\n1+2j,3\n2,4\n", f"line 2: x is '1+2j'; {PLAIN}"),
    "a byte-order mark within": ("x,y\n1,2\n\ufeff3,4\n", f"line 3: x is '\\ufeff3'; {PLAIN}"),
    "JSON": ("[[0,1],[1,3],[2,5]]", "(line 1 has '[[0'; give rows such as 1.5,2 without brackets)"),
    "lines of JSON": ('{"x": 1, "y": 2}\n{"x": 2, "y": 3}\n', "give rows such as 1.5,2 without brackets)"),
    "tuples": ("(0, 1)\n(1, 3)\n", "give rows such as 1.5,2 without brackets)"),
    "rows in quotes": ('x,y\n"1,2"\n"3,4"\n', "line 2 stands in quotes as a whole; take these quotes away"),
    "a web page": ("<table><tr><td>1</td><td>2</td></tr></table>\n", "0 columns of numbers; two are needed, x and y"),
    "numbers between colons": ("1:2\n3:4\n", "0 columns of numbers; two are needed, x and y"),
    "a table on its side": (
        "x,1,2,3\ny,5,6,7\n",
        "has no header and 3 columns of numbers (1, 2, 3); data.x= and data.y= choose",
    ),
    "a row that is longer": ("x,y\n1,2\n3,4,5\n", "line 3 has 3 columns and the header 2; equal numbers are needed"),
    "decimal commas between commas": (
        "1,5,2,5\n3,5,4,5\n",
        "has no header and 4 columns of numbers (0, 1, 2, 3); data.x=",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_number_is_refused_with_a_line_that_helps(text: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(tmp_path, text)


def test_no_sign_is_proposed_to_be_left_out_that_changes_the_number(tmp_path: Path) -> None:
    for cell in ("–5", "(5)", "5-", "1d5", "~5", "<5", "5±1", "1/5", "#5", "'5"):
        assert "leave out" not in refusal(tmp_path, f"x;y\n1;{cell}\n2;3\n3;4\n")


def test_either_mark_is_decimal_in_files_as_0_2_0_read_them(tmp_path: Path) -> None:
    text = "x;y\n1.5;2,5\n2.5;1,234\n3,5;1.234\n"
    assert read(tmp_path, text, decimal="either")[:2] == ([1.5, 2.5, 3.5], [2.5, 1.234, 1.234])
    message = refusal(tmp_path, "x;y\n1;1.234,5\n2;3\n", decimal="either")
    assert "y is '1.234,5'" in message or "y is '1.234.5'" in message


def generated(draw: random.Random) -> tuple[str, list[tuple[float, float]]]:
    """Return the text of a random file as a program or a person leaves it, and its points."""
    separator = draw.choice([",", ";", "\t", "|", "  "])
    decimal = "." if separator == "," else draw.choice(".,")
    count = draw.randint(2, 8)
    notation = draw.choice(["{:.2f}", "{:.1f}", "{:.3e}", "{:.2E}", "{:+.2f}", "{:.0f}", "fortran", "minus"])
    offset = draw.choice([0, 0, 5000, 2_000_000])
    plain = "{:.4e}" if notation == "fortran" else "{:.2f}" if notation == "minus" else notation
    # a tenth is far enough from 0 to be seen in each notation
    texts = [[plain.format((offset + draw.uniform(-90, 90)) * (1 + row / 10)) for _ in "xy"] for row in range(count)]
    values = [(float(x), float(y)) for x, y in texts]
    # a mark between thousands only where the separator and the notation allow it
    group = draw.choice(["", "", "'", "\u00a0", "\u202f", " "]) if separator != "  " else ""

    def shown(text: str) -> str:
        if notation == "fortran":
            text = text.replace("e", "D")
        elif notation == "minus":
            text = text.replace("-", "\u2212")
        elif "e" not in text.lower() and group:
            whole, dot, rest = text.partition(".")
            sign = whole[0] if whole[0] in "+-" else ""
            text = sign + f"{int(whole.lstrip('+-')):,}".replace(",", group) + dot + rest
        return text.replace(".", decimal)

    rows = [[shown(one) for one in row] for row in texts]
    names = draw.choice([[], ["x", "y"], ["Zeit [s]", "Weg in m"]])
    if separator == "  ":
        names = ["x", "y"] if names else []
    if draw.random() < 0.3:
        labels = (
            [draw.choice(["Ann", "Bo", "Cyd"]) for _ in rows]
            if draw.random() < 0.5
            else [f"#{i}" for i in range(count)]
        )
        rows, names = [[label, *row] for label, row in zip(labels, rows, strict=True)], ["id", *names] if names else []
    elif draw.random() < 0.3 and names:
        rows, names = [[str(i), *row] for i, row in enumerate(rows)], ["", *names] if separator != "  " else names
    quoted = draw.random() < 0.3
    lines = [
        separator.join(f'"{cell}"' if quoted else cell for cell in row) for row in ([names] if names else []) + rows
    ]
    if names and draw.random() < 0.2:
        lines = [draw.choice(["Messung im Garten", "Data of today"]), *([""] * draw.randint(0, 1)), *lines]
    if names and draw.random() < 0.2:
        units = ["s", "m"] if len(names) == 2 else ["-", "s", "m"]
        lines.insert(len(lines) - count, separator.join(units))
    if draw.random() < 0.2:
        lines.insert(draw.randint(0, len(lines)), "# a remark")
    if draw.random() < 0.2 and separator in ",;":
        lines = [line + separator if line and line[0] != "#" else line for line in lines]
    if separator == ";" and draw.random() < 0.1:
        lines.insert(0, "sep=;")
    return draw.choice(["\n", "\r\n", "\r"]).join(lines) + draw.choice(["", "\n", "\n\n"]), values


@pytest.mark.parametrize(("seed", "count"), [(1, 300), pytest.param(2, 1200, marks=pytest.mark.long)])
def test_random_files_as_people_have_them_are_read_right_or_refused(seed: int, count: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        text, values = generated(draw)
        encoding = draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"])
        content = text.encode(encoding, errors="ignore") if encoding != "cp1252" or text.isascii() else text.encode()
        found, said = attempt(write(tmp_path, content))
        if found is None:
            outcomes["refused"] += 1
            reasons = ("nothing in the file decides", "columns of numbers; data.x=", "equal numbers are needed")
            assert any(reason in said for reason in reasons), (text, said)
            continue
        outcomes["read"] += 1
        assert sorted(found) == sorted(values), text
    assert outcomes["read"] > 13 / 15 * count, outcomes


@pytest.mark.long
def test_a_file_of_ten_megabytes_is_read_in_seconds(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(260_000, 2))
    path = tmp_path / "a.csv"
    np.savetxt(path, points, fmt="%.15f", delimiter=";", header="x;y")
    content = path.read_text().replace(".", ",")
    path.write_text(content)
    assert len(content) > 9e6
    started = time.perf_counter()
    data = file(str(path))
    assert time.perf_counter() - started < 60
    order = np.argsort(points[:, 0])
    np.testing.assert_allclose(np.stack([data.x, data.y], axis=1), points[order], atol=1e-15)


def test_file_data_prints_once_how_a_file_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console.say_once.cache_clear()
    path = write(tmp_path, "time [s],speed\n0.5,2\n1.5,4\n")
    for _ in range(2):
        data = FileData(path, updates=5)
    lines = [f"FileData: a.csv: x is 'time [s]', y is 'speed', {FIRST_TWO}"]
    assert capsys.readouterr().err.splitlines() == lines
    assert data.dataset.notes == (lines[0].removeprefix("FileData: "),)
    FileData(write(tmp_path, "x,y\n0.5,2\n1.5,4\n"), updates=5)
    assert capsys.readouterr().err == ""


def array_file(header: dict[str, Any], body: bytes) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + body


@pytest.mark.parametrize(
    ("descr", "fortran", "shape", "body", "message"),
    [
        ("<f8", False, (10**15,), b"1234", "is damaged, or no NPZ file of number arrays"),
        ("<f8", False, (10**6,), b"1234", "is damaged, or no NPZ file of number arrays"),
        ("<f8", False, (-5,), b"1234", "is damaged, or no NPZ file of number arrays"),
        ("<f8", False, (10**5, 10**5), b"1234", "array x has shape (100000, 100000); one dimension is needed"),
        ("<f8", False, (), b"12345678", "array x has shape (); one dimension is needed"),
        ("<U100000000", False, (5,), b"", "is damaged, or no NPZ file of number arrays"),
        ("|O", False, (5,), b"", "is damaged, or no NPZ file of number arrays"),
        ("<c16", False, (5,), bytes(80), "array x holds complex128; numbers are needed"),
        ("<f8", False, (40_000_000,), bytes(320_000_000), "array x would unpack from 0.3 MB to 320 MB; save it"),
        ("<f8", True, (5, 1), np.arange(5.0).tobytes(), ""),
    ],
)
def test_an_archive_is_judged_by_its_header_before_it_is_unpacked(
    tmp_path: Path, descr: str, fortran: bool, shape: tuple[int, ...], body: bytes, message: str
) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", array_file({"descr": descr, "fortran_order": fortran, "shape": shape}, body))
        archive.writestr("y.npy", array_file({"descr": "<f8", "fortran_order": False, "shape": (5,)}, bytes(40)))
    tracemalloc.start()
    points, found = attempt(str(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
    if message:
        assert points is None
        assert found.startswith(f"data.path={path}: {message}")
    else:
        assert points == [(x, 0.0) for x in range(5)]


def test_an_archive_whose_member_is_no_array_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(100_000_000))
        archive.writestr("y.npy", b"")
    tracemalloc.start()
    _, found = attempt(str(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == f"data.path={path}: array x holds no array; numbers are needed"
    assert peak < 10_000_000
