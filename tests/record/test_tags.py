"""Tag names with a slash stand in `record/tags.py` only: everything else in the package imports them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import reluviz
from reluviz.record import tags

SOURCE = Path(reluviz.__file__).parent
WITH_SLASH = sorted(
    value for key, value in vars(tags).items() if key.isupper() and isinstance(value, str) and "/" in value
)
STARTS = (
    *sorted({f"{tag.partition('/')[0]}/" for tag in WITH_SLASH}),
    *(f"{tag}/" for tag in (tags.ELBOW, tags.INPUT_SLOPE, tags.SLOPE_JUMP, tags.UNITS)),
)


def tag_literals(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text) for each string or bytes constant, docstrings aside, that holds a tag or starts like one."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in docstrings:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if text.startswith(STARTS) or any(tag in text for tag in WITH_SLASH):
                yield node.lineno, text


def test_no_other_file_spells_out_a_tag() -> None:
    assert {"loss/train", "grad/norm", "votes/history", "reluviz/data"} <= set(WITH_SLASH)
    found = [
        f"{path.relative_to(SOURCE.parent)}:{line}: {text[:60]!r}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != Path(tags.__file__)
        for line, text in tag_literals(path.read_text(encoding="utf-8"))
    ]
    assert not found, "name these tags from record/tags.py:\n" + "\n".join(found)


def test_the_search_finds_tags_in_strings_f_strings_and_bytes_but_not_in_docstrings() -> None:
    source = (
        '"""As loss/train."""\nx = a["loss/train"]\ny = f"units/{x}"\nz = f"at {x} (grad/norm {y})"\nb = b"reluviz/"\n'
    )
    assert sorted(line for line, _ in tag_literals(source)) == [2, 3, 4, 5]
    assert list(tag_literals('x = "training/loss"\ny = "image/png"\n')) == []
