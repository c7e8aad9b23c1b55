"""The names of tags in the page are those of `record/tags.py`, and stand in one module."""

import re

from reluviz.record import tags
from reluviz.tab.static_files import read_static, static_files

PLACE = "core/tags.js"
CONSTANT = re.compile(r"^export const ([A-Z_]+) = (.*);$", re.M)


def test_the_names_in_the_page_are_those_of_the_record() -> None:
    found = dict(CONSTANT.findall(read_static(PLACE)))
    assert {"LOSS_TRAIN", "LOSS_TEST", "LOSS_BATCH", "QUARTILES"} <= found.keys()
    expected = {name: getattr(tags, name) for name in found}
    texts = {name: list(value) if isinstance(value, tuple) else value for name, value in expected.items()}
    assert {name: re.findall(r'"([^"]*)"', text) for name, text in found.items()} == {
        name: value if isinstance(value, list) else [value] for name, value in texts.items()
    }


def test_no_other_module_of_the_page_spells_out_a_tag() -> None:
    names = {value for name, value in vars(tags).items() if name.isupper() and isinstance(value, str) and "/" in value}
    starts = {f"{name.partition('/')[0]}/" for name in names} - {f"{tags.PLUGIN}/"}
    starts |= {f"{tag}/" for tag in (tags.ELBOW, tags.INPUT_SLOPE, tags.SLOPE_JUMP, tags.UNITS)}
    literal = re.compile(rf"""["'`](?:{"|".join(map(re.escape, sorted(starts | names)))})""")
    found = {path: literal.findall(body.decode()) for path, body in static_files().items() if path.endswith(".js")}
    assert found.pop(PLACE)
    assert {path: texts for path, texts in found.items() if texts} == {}
