"""The page names tags in one file, as the record does."""

import re

from reluviz.record import tags
from reluviz.tab.static_files import static_files

TAGS = {
    value for value in vars(tags).values() if isinstance(value, str) and "/" in value and not value.startswith("\n")
}


def test_the_names_of_tags_in_the_page_are_those_of_the_record() -> None:
    text = static_files()["core/tags.js"].decode()
    found = dict(re.findall(r'^export const (\w+) = "([^"]+)";$', text, re.MULTILINE))
    assert found
    assert found == {name: getattr(tags, name) for name in found}


def test_no_other_script_names_a_tag_with_a_slash() -> None:
    for path, content in static_files().items():
        if path != "core/tags.js":
            quoted = set(re.findall(r"""["'`]([\w/]+)["'`]""", content.decode()))
            assert not quoted & TAGS, path
