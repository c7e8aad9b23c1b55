"""Points from text: trainer/point_text.js, run in a real browser, reads and refuses what Python's file reader does."""

import ast
import json
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import javascript_modules, require_browser
from test_odd_files import generated
from test_text_files import GRID, grid_file

from reluviz.data import file
from reluviz.errors import UserError

DATA = Path(__file__).parents[1] / "data"
READ = """
  const {readPoints, decodeBytes, pointsAsCsv} = await import('./trainer/point_text.js');
  const read = (text) => {
    try {
      const {x, y, notes, columns} = readPoints(text);
      return {x: Array.from(x), y: Array.from(y), notes, columns, error: null};
    } catch (error) {
      if (Object.getPrototypeOf(error) !== Error.prototype) throw error;
      return {error: error.message};
    }
  };
"""
FILES = ("test_text_files", "test_odd_files", "test_point_files")


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Any:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser")) as run:
        # as JSON, which keeps lone surrogates
        yield lambda code, given: run(READ + "given = JSON.parse(given);" + code, json.dumps(given))


def texts_of(name: str) -> list[str]:
    """Return all texts in a file of tests: its strings with a line break."""
    tree = ast.parse((DATA / f"{name}.py").read_text(encoding="utf-8"))
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in found if "\n" in text and text.encode(errors="ignore").decode() == text]


PAGE_WORDS = {
    r"in the file decides; data\.decimal=.*": "in the text decides; one number such as 0,5 or 0.5 would decide",
    r"its columns, and nothing in the file decides": "the columns, and nothing in the text decides",
    r"data\.x= and data\.y= +choose two.*": "a header that names two of them x and y is needed",
    r"data\.[xy]= chooses one by its number, .*": "one is needed",
    r" \(data\.decimal=comma reads thousands\)": "",
    r"a file needs one": "a text needs one",
    r"^(is|has) ": r"the text \1 ",
    r", or as NPZ": "",
    r"^the text is (?=a spreadsheet|not text)": "the file is ",
    r"a spreadsheet;": "a spreadsheet or an archive;",
}
"""Messages of Python -> those of the page, which has no keys of the command line and no file name."""


def in_page_words(message: str) -> str:
    for pattern, words in PAGE_WORDS.items():
        message = re.sub(pattern, words, message)
    return message


def exact(numbers: Any) -> list[str]:
    return [float(one).hex() for one in numbers]


def read_by_python(path: Path) -> dict[str, Any]:
    try:
        data = file(str(path))
    except UserError as error:
        message = str(error).removeprefix(f"data.path={path}: ").removeprefix(f"data={path.name}: ")
        return {"error": in_page_words(message)}
    notes = [part for note in data.notes for part in note.removeprefix(f"{path.name}: ").split("; ")]
    return {"x": exact(data.x), "y": exact(data.y), "notes": in_page_words("; ".join(notes)), "error": None}


def compare(run: Any, texts: list[str], folder: Path) -> Counter[str]:
    """Assert that the page reads each text as Python does, or refuses it with the same sentence; count both."""
    path, outcomes = folder / "a.csv", Counter[str]()
    for text, found in zip(texts, run("return given.map(read);", texts), strict=True):
        path.write_text(text, encoding="utf-8", newline="")
        expected = read_by_python(path)
        if found["error"] is None:
            found = {"x": exact(found["x"]), "y": exact(found["y"]), "notes": "; ".join(found["notes"]), "error": None}
        assert found == expected, text[:2000]
        outcomes["read" if expected["error"] is None else "refused"] += 1
    return outcomes


@pytest.mark.parametrize("name", FILES)
def test_each_text_of_the_reader_s_tests_is_read_as_in_python_or_refused_with_the_same_sentence(
    run: Any, name: str, tmp_path: Path
) -> None:
    outcomes = compare(run, texts_of(name), tmp_path)
    assert outcomes["read"] > 25
    assert outcomes["refused"] > 10


def test_each_file_of_the_collection_is_read_as_in_python(run: Any, tmp_path: Path) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted((DATA / "cases").iterdir())]
    assert compare(run, texts, tmp_path) == {"read": 8, "refused": 2}


def test_every_file_of_the_grid_is_read_as_in_python(run: Any, tmp_path: Path) -> None:
    outcomes = compare(run, [grid_file(case)[0] for case in GRID], tmp_path)
    assert outcomes == {"read": 1764, "refused": 476}


def drawn(draw: random.Random) -> str:
    """Return a random text with any separator, marks within numbers, header, quotes, comments, units and index."""
    separator = draw.choice([",", ";", "\t", "|", " ", "   ", " ; ", ", "])
    decimal, between = draw.choice(".,"), draw.choice(["", "", "", ".", ",", " ", "'", "\u00a0", "\u202f"])
    columns, count = draw.choice([1, 2, 2, 2, 2, 3, 4]), draw.randint(1, 7)
    form = draw.choice(["{:.0f}", "{:,.0f}", "{:.1f}", "{:,.2f}", "{:,.3f}", "{:.4e}", "{:+.2G}", "{!r}"])
    size = draw.choice([1e-3, 1, 100, 1e4, 1e7, 1e12])
    odd = [
        "",
        "NA",
        "nan",
        "-",
        "?",
        "inf",
        "1e999",
        "12:30",
        "5 kg",
        "$5",
        "1.2.3",
        "0x1F",
        "#3",
        "word",
        '"',
        "1_000",
    ]

    def cell() -> str:
        if draw.random() < 0.02:
            return draw.choice(odd)
        number = form.format(draw.uniform(-size, size)).replace(",", "T").replace(".", decimal).replace("T", between)
        return number.replace("-", "\u2212") if draw.random() < 0.05 else number

    rows = [[cell() for _ in range(columns)] for _ in range(count)]
    names = draw.sample(["x", "y", "Time [s]", "Weg, in m", "Größe", "Y", " X", "id", "3"], columns)
    if draw.random() < 0.4:
        names = [*draw.sample(["x", "y"], 2), "note", "other"][:columns]
    header = [names] if draw.random() < 0.7 else []
    if header and draw.random() < 0.2:
        header.append(draw.choice([["s", "m", "kg", "-"], ["[s]", "[m]", "", ""]])[:columns])
    if draw.random() < 0.3:
        label = draw.choice(["{}", "{}", "A{}", "#{}", "Rome, {}", "row {}"])
        begin = draw.choice([0, 1, 1990])
        rows = [[label.format(begin + i), *row] for i, row in enumerate(rows)]
        first = draw.choice([[""], ["Unnamed: 0"], ["id"], []])
        header = [[*first, *row] for row in header]
    quoting = draw.choice(["none", "none", "all", "words", "some"])

    def quoted(text: str) -> str:
        is_word = not text.strip()[:1].isdigit()
        wanted = {"none": False, "all": True, "words": is_word, "some": draw.random() < 0.5}[quoting]
        return '"' + text.replace('"', '""') + '"' if wanted else text

    lines = [separator.join(map(quoted, row)) for row in header + rows]
    for _ in range(draw.choice([0, 0, 1, 2])):
        extra = ["", "", "  ", "# a remark", "# x, y", "#x y", "# 1,2", "Source: my garden", separator, "---", "1,2,3"]
        lines.insert(draw.randint(0, len(lines)), draw.choice(extra))
    lines = ["sep=" + separator, *lines] if draw.random() < 0.03 else lines
    lines = [f"| {line} |" for line in lines] if draw.random() < 0.05 else lines
    lines = [line + separator for line in lines] if draw.random() < 0.05 else lines
    lines = [*lines, f"({count} rows)"] if draw.random() < 0.05 else lines
    return draw.choice(["", "", "", "\ufeff"]) + draw.choice(["\n", "\r\n", "\r"]).join(lines) + draw.choice(["", "\n"])


def test_random_texts_are_read_as_in_python(run: Any, tmp_path: Path) -> None:
    draw = random.Random(0)
    outcomes = compare(run, [drawn(draw) for _ in range(500)], tmp_path)
    outcomes += compare(run, [generated(draw)[0] for _ in range(300)], tmp_path)
    assert min(outcomes.values()) > 200, outcomes


BYTES = {
    **{name: "Größe;x;y\r\nklein;0,5;2\r\ngroß;1,5;4\r\n".encode(name) for name in ("utf-8", "utf-8-sig", "utf-16")},
    **{name: "Größe;x;y\rklein;0,5;2\rgroß;1,5;4\r".encode(name) for name in ("utf-16-le", "utf-16-be")},
    "utf-16, big-endian": "\ufeffx;y\n0,5;2\n1,5;4\n".encode("utf-16-be"),
    "latin-1": "Größe;y\n1\u00a0234,5;2\n3;4\n".encode("latin-1"),
    "cp1252": "Größe;y\n1\u2019234,5;2\n3;4\n".encode("cp1252"),
    "cp1251": "Рост;v\n0,5;2\n1,5;4\n".encode("cp1251"),
    "shift-jis": "時間;v\n0,5;2\n1,5;4\n".encode("shift-jis"),
    "a broken character": "\u00e4;x;y\na;1\u202f234,5;2\nb;3;4\n".encode() + b"\xff;5;6\n",
    "an end of file of CP/M": b"x,y\n0.5,2\n1.5,4\n\x1a",
    "binary junk": bytes(range(256)),
    "a picture": b"\x89PNG\r\n\x1a\n\0\0",
    "a workbook": b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\xb5\xe1",
    "an old workbook": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50),
    "UTF-16 that ends within a character": "x,y\n1,2\n3,4\n".encode("utf-16")[:-1],
    "UTF-16 with half a pair": b"\xff\xfe\x00\xd8x\x00",
    "no text in any encoding": b"x,y\x81\n1,2\n",
    "a surrogate in UTF-8": b"x,y\n1,2\n3,\xed\xa0\x80\n",
    "nothing": b"",
}
READ_BYTES = """
  return given.map((bytes) => {
    try {
      const {text, note} = decodeBytes(Uint8Array.from(bytes)), found = read(text);
      return {...found, notes: [note, ...found.notes ?? []].filter(Boolean)};
    } catch (error) {
      return {error: error.message};
    }
  });
"""


def test_bytes_in_every_encoding_are_read_as_in_python(run: Any, tmp_path: Path) -> None:
    random_bytes = [random.Random(seed).choices(b"1,2;\n\0x\xff\xfe\xe4", k=seed) for seed in range(40)]
    contents = [*BYTES.values(), *map(bytes, random_bytes)]
    outcomes = Counter[bool]()
    for content, found in zip(contents, run(READ_BYTES, [list(one) for one in contents]), strict=True):
        path = tmp_path / "a.csv"
        path.write_bytes(content)
        expected = read_by_python(path)
        assert found["error"] == expected["error"], content
        outcomes[found["error"] is None] += 1
        if found["error"] is None:
            assert [exact(found["x"]), exact(found["y"])] == [expected["x"], expected["y"]]
            assert "; ".join(found["notes"]) == expected["notes"]
    assert outcomes[True] > 9
    assert outcomes[False] > 10


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be"])
def test_utf_32_which_browsers_lack_is_refused(run: Any, encoding: str) -> None:
    content = "\ufeffx,y\n1,2\n3,4\n".encode(encoding)
    assert run(READ_BYTES, [list(content)]) == [{"error": "the file is not text in UTF-8; save it as 'CSV UTF-8'"}]


COLUMNS = {
    "name;Weg [m];y, gemessen\nu;1;2\nv;2;3\n": ["Weg [m]", "y, gemessen"],
    "time,Height [cm]\n1,2\n2,3\n": ["time", "Height [cm]"],
    "y,a,x\n1,2,3\n2,3,5\n": ["x", "y"],
    "1,2\n2,3\n": None,
    ",a,b\n0,2,3\n1,4,5\n": ["a", "b"],
    "<b>x</b>,</script>\n1,2\n2,3\n": ["<b>x</b>", "</script>"],
}


def test_the_names_of_the_columns_are_told(run: Any) -> None:
    found = run("return given.map(read);", list(COLUMNS))
    assert [one.get("columns") for one in found] == list(COLUMNS.values())


def rows(count: int) -> str:
    return "".join(f"{i},{i % 7}\n" for i in range(count))


LIMITS = {
    "points": (
        "x,y\n" + rows(10_000),
        "the page trains on at most 2\u202f000 points; this has 10\u202f000: use data=file with the command line",
    ),
    "one point": (
        "x,y\n" + rows(2001),
        "the page trains on at most 2\u202f000 points; this has 2\u202f001: use data=file with",
    ),
    "a line": (
        f"x,y,note\n1,2,{'a' * 20_000}\n3,4\n",
        "the page reads lines of at most 20\u202f000 characters; line 2 has 20\u202f004",
    ),
    "characters": (
        rows(2) + (" " * 9_999 + "\n") * 100,
        "the page reads at most 1\u202f000\u202f000 characters; this has 1\u202f000\u202f008",
    ),
}
"""The page refuses these, and Python reads them."""


@pytest.mark.parametrize(("text", "message"), LIMITS.values(), ids=LIMITS)
def test_what_is_too_large_for_the_page_is_refused(run: Any, text: str, message: str, tmp_path: Path) -> None:
    assert run("return given.map(read);", [text])[0]["error"].startswith(message)
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert read_by_python(path)["error"] is None


def test_two_thousand_points_are_read(run: Any, tmp_path: Path) -> None:
    assert compare(run, [rows(2000), "x,y\n" + rows(2000), "My data\n\nx,y\n" + rows(2000)], tmp_path) == {"read": 3}


def test_points_as_csv_are_read_back_exactly_by_the_page_and_by_python(run: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**64, size=4000, dtype=np.uint64).view(np.float64)
    bits = bits[np.isfinite(bits) & (abs(bits) < 1e60)][:2000]
    edges = [0.0, -0.0, 5e-324, 1e21, 1e-7, 123456789012345680000.0, -1e60, 0.1, 1234.0, 1.234, 2**53 + 2.0]
    for values in (bits[: len(bits) // 2 * 2], np.array([*edges, 3.0])):
        x, y = np.split(values, 2)
        x = np.sort(x)
        text = run("return pointsAsCsv(given.x, given.y)", {"x": x.tolist(), "y": y.tolist()})
        path = tmp_path / "a.csv"
        path.write_text(text, newline="")
        found = run("return read(given)", text)
        python = read_by_python(path)
        assert python["error"] is None
        assert (exact(found["x"]), exact(found["y"])) == (exact(x), exact(y)) == (python["x"], python["y"])
    assert run("return pointsAsCsv([1, 1.5], [-0.25, 1e21])", None) == "x,y\n1,-0.25\n1.5,1e+21\n"


def hostile(draw: random.Random) -> str:
    """Return a text that attacks the reader, or the page that shows what it says."""
    piece = draw.choice(
        [
            "<script>window.attacked = true</script>",
            "<img src=x onerror='window.attacked = true'>",
            "javascript:alert(1)",
            "=1+1",
            '=HYPERLINK("http://a.test")',
            "@SUM(1)",
            "${window.attacked = true}",
            "__proto__",
            "constructor",
            "\0",
            "\ud800",
            "\udfff",
            "\U0001f600",
            "1e999",
            "-1e-999",
            "1e400,",
            "9" * 500,
            "1" + ",111" * 60,
            '"',
            '""',
            '"' * 1001,
            '"a""b',
            " " * 500 + "1",
            "(" * 200,
            "[1" * 100,
            "1:" * 100,
            "1-" * 100,
            "a" * 9 + "/" + "b" * 10,
            "#",
            "sep=\U0001f600\n",
            "sep=\ud800\n",
            "\u2028",
            "\x1c",
            "\x85",
            "\ufeff",
            "\u202e",
            "|",
            "---",
            "-" * 300 + "|",
            "(1 rows",
            "nan",
            "ınf",
        ]
    )
    usual = ["x", "y", "1", "2.5", "3,5", "1.234", ",", ";", "\t", "|", " ", "\n", "\n", "\n", "\r", '"', "#"]
    pieces = [piece if draw.random() < 0.3 else draw.choice(usual) for _ in range(draw.randint(1, 60))]
    kind = draw.random()
    if kind < 0.2:
        return f'name;x;y\n"{piece}";0,5;1\n{piece};1,5;2\n"b";2;1\n'
    if kind < 0.5:
        return draw.choice(["x,y\n1,2\n", "x;y\n0,5;1\n", "a b\n1 2\n"]) + "".join(pieces)
    return "".join(pieces)


SIZE = 990_000


def wide(*pieces: str) -> str:
    """Return lines that are nearly as long as the page allows, made of these pieces in turn."""
    lines = [(piece * 20_000)[:19_900] for piece in pieces]
    return "".join(lines[i % len(lines)] + "\n" for i in range(SIZE // 19_901))


LONG = {
    "an open quote": '"' + wide("a"),
    "quotes": wide('"'),
    "open and closed quotes": wide('"x ""y '),
    "quotes and commas": wide('",'),
    "quoted names": ",".join(f'"{i}"' for i in range(2500)) + "\n" + wide("1,"),
    "columns": wide("1,"),
    "columns of different lengths": wide("1,", "1," * 9 + "\n"),
    "columns above short rows": wide("1,")[:19_901] + "1,2\n" * (SIZE // 5),
    "columns of words": wide("ab c;d,"),
    "cells nearly numbers": "\n".join(",".join(f"{j}kg{i}" for j in range(100)) for i in range(1200)),
    "long digits": wide("1" * 399 + "x,"),
    "grouped digits": wide("1" + ",111" * 99 + "x;"),
    "digits and blanks": wide("1 " * 199 + "x;"),
    "blanks within a cell": "x;y\n1;" + wide(" "),
    "blanks within a comment": wide("#", " "),
    "comments": "# 1,2\n" * (SIZE // 6),
    "lines": "\n" * SIZE,
    "rows": "1,2\n" * (SIZE // 4),
    "cells in lines": '"x;y\n' * (SIZE // 5),
    "bars": wide("|"),
    "frames": "| 1 | 2 |\n" * (SIZE // 10),
    "line ends": "\r" * SIZE,
    "all separators": "1,2;3\t4|5 6\n" * (SIZE // 12),
    "two megabytes": "1,2\n" * 500_000,
}


def test_hostile_texts_raise_no_other_error_and_run_nothing(run: Any) -> None:
    draw = random.Random(0)
    texts = [hostile(draw) for _ in range(2000)]
    before = time.perf_counter()
    found = run("const found = given.map(read); return {found, attacked: 'attacked' in window}", texts)
    assert time.perf_counter() - before < 20
    assert not found["attacked"]
    errors = [one["error"] for one in found["found"] if one["error"] is not None]
    assert 1000 < len(errors) < 1950
    for error in errors:
        assert "\n" not in error
        assert 10 < len(error) < 500


RATIO = """
  const time = (work) => {
    const begin = performance.now();
    work();
    return performance.now() - begin;
  };
  const sum = () => {
    let total = 0;
    for (let i = 0; i < 5e7; i++) total += i % 7;
    return total;
  };
  let least = Infinity;
  for (let attempt = 0; attempt < 3 && least > given.most; attempt++) {
    least = Math.min(least, time(() => read(given.text)) / time(sum));
  }
  return least;
"""
"""How long a text takes, in units of a loop that takes about a tenth of a second: other programs slow both down."""


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_long_text_is_read_or_refused_within_about_a_second(run: Any, text: str) -> None:
    assert run(RATIO, {"text": text, "most": 10}) < 10
