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
