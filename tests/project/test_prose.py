"""Docstrings, comments, messages, names of tests and pages are free of phrases that a reader has to untangle."""

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PHRASES = (
    "of which",
    "of whom",
    "whoever",
    "whomever",
    "whatever",
    "what is to be",
    "is to be",
    "are to be",
    "was to be",
    "so is",
    "so are",
    "so does",
    "as though",
    "nobody",
    "somebody",
    "let others",
    "who only",
    "in the place of",
    "is said",
    "are said",
    "lest",
    "there be",
    "without a word",
    "may well",
    "is asked for",
    "are asked for",
    "looked at",
    "goes along",
    "go along",
    "be it",
)
"""Idioms of a translation. Each has a plain counterpart: name the subject, use an active verb, one idea a sentence."""
PLACES = (
    "src",
    "tests",
    "docs",
    "conf",
    "benchmarks",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)
SUFFIXES = {".py", ".js", ".css", ".md", ".yaml", ".txt"}


def texts() -> list[Path]:
    found = [ROOT / place for place in PLACES if (ROOT / place).is_file()]
    for place in PLACES:
        found += [path for path in sorted((ROOT / place).rglob("*")) if path.suffix in SUFFIXES]
    return [path for path in found if "fixtures" not in path.parts and path != Path(__file__)]


@functools.cache
def contents() -> list[tuple[str, str]]:
    return [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in texts()]


@pytest.mark.parametrize("phrase", PHRASES)
def test_no_text_uses_the_phrase(phrase: str) -> None:
    # words of a phrase may be parted by a line's end, a comment sign, or underscores in a name
    pattern = re.compile(r"(?<![a-z])" + r"(?:[ _]|\s+(?:#|\*|//)?\s*)".join(phrase.split()) + r"(?![a-z])", re.I)
    found = []
    for path, text in contents():
        found += [f"{path}:{text.count(chr(10), 0, one.start()) + 1}" for one in pattern.finditer(text)]
    assert not found, f"{phrase!r} in {', '.join(found)}"


def test_the_search_reads_every_room() -> None:
    assert len(texts()) > 300
    assert {path.relative_to(ROOT).parts[0] for path in texts()} >= {"src", "tests", "docs", "conf", "benchmarks"}
