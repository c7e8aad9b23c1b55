"""JavaScript without comments and without the white space that it does not need.

Names, strings, template literals and regular expressions stay as they are. The code must end its statements with semicolons
or line breaks as usual; it is not parsed, only split into tokens.
"""

import re
from functools import cache

_TOKEN = re.compile(r"""\s+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|//[^\n]*|/\*.*?\*/|[\w$#]+|.""", re.S)
_REGULAR_EXPRESSION = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_BEFORE_EXPRESSION = "({[,;:?=&|<>*%!~^+-"
"""After one of these characters a slash begins a regular expression; elsewhere it divides."""
_OPENS, _CLOSES = "({[,;:?=&|<>*%!", ")}],;:?.=&|<>*%"
"""No statement ends after one of the first; a statement may end before one of the second, or goes on there."""
_SEPARATES = re.compile(r"[\w$#]{2}|\+\+|--|//|/\*|[\w$#]/|/[\w$#]")
"""Two characters that mean something else without white space between them, or that a slash may part."""


@cache
def compact(text: str) -> str:
    """Return the code with the same tokens, and with only those line breaks and blanks that separate them."""
    parts: list[str] = []
    last, gap, at = ";", "", 0
    while at < len(text):
        token = _token(text, at, last)
        at += len(token)
        if token.isspace() or token.startswith(("//", "/*")):
            gap += token
            continue
        pair = last[-1] + token[0]
        if "\n" in gap and pair[0] not in _OPENS and pair[1] not in _CLOSES:
            parts.append("\n")
        elif gap and _SEPARATES.fullmatch(pair):
            parts.append(" ")
        parts.append(token)
        last, gap = token, ""
    return "".join(parts)


def _token(text: str, at: int, last: str) -> str:
    """Return the token that begins at a position, after the token `last`."""
    if text[at] == "`":
        return text[at : _end_of_template(text, at)]
    found = _TOKEN.match(text, at)
    assert found is not None
    if found[0] == "/" and (last[-1] in _BEFORE_EXPRESSION or last == "return"):
        found = _REGULAR_EXPRESSION.match(text, at) or found
    return found[0]


def _end_of_template(text: str, start: int) -> int:
    """Return the end of the template literal that begins at `start`; it may hold others."""
    at = start + 1
    while text[at] != "`":
        if text.startswith("${", at):
            at = _end_of_braces(text, at + 2)
        else:
            at += 2 if text[at] == "\\" else 1
    return at + 1


def _end_of_braces(text: str, at: int) -> int:
    """Return the position after the brace that closes one before `at`."""
    last, depth = "{", 1
    while depth:
        token = _token(text, at, last)
        at += len(token)
        depth += {"{": 1, "}": -1}.get(token, 0)
        if not token.isspace():
            last = token
    return at
