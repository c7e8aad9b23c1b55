"""Pictures as parts of a page: in it where they fit, beside it where they would make it too large."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from reluviz.errors import UserError

KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
MOST_BYTES = 2_000_000
"""All pictures of a page together; as text they are a third longer."""
DUBLIN_CORE, WORK = "{http://purl.org/dc/elements/1.1/}", "{http://creativecommons.org/ns#}Work"


@dataclass(frozen=True)
class InlineImage:
    """A picture of a page.

    Attributes:
        path: its file.
        title: what it shows.
        words: the same in sentences.
        size: width and height in pixels of the page; None where they are unknown.
        source: the picture as the address of an image; None where it is too large for the page.
    """

    path: Path
    title: str
    words: str
    size: tuple[int, int] | None
    source: str | None


def inline(pictures: Sequence[Path]) -> list[InlineImage]:
    """Return the pictures of a page in their order, each once: the smaller one of its drawings.

    Raises:
        UserError: where one cannot be read.
    """
    kinds: dict[Path, list[Path]] = {}
    for path in pictures:
        if path.suffix.lower() in KINDS:
            kinds.setdefault(path.with_suffix(""), []).append(path)
    found, room = [], MOST_BYTES
    for paths in kinds.values():
        try:
            path = min(paths, key=lambda each: each.stat().st_size)
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{paths[0]}: cannot be read ({error.strerror or error})") from error
        title, words, size = (_svg if path.suffix.lower() == ".svg" else _png)(content)
        fits = len(content) <= room
        room -= len(content) if fits else 0
        kind = KINDS[path.suffix.lower()]
        source = f"data:{kind};base64,{base64.b64encode(content).decode()}" if fits else None
        found.append(InlineImage(path, title or path.stem, words, size, source))
    return found


def _svg(content: bytes) -> tuple[str, str, tuple[int, int] | None]:
    """Return title, description and size of a drawing."""
    title = words = ""
    size = None
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return title, words, size
    lengths = [re.fullmatch(r"([\d.]+)(pt)?", root.get(name, "")) for name in ("width", "height")]
    if lengths[0] and lengths[1]:
        width, height = (float(each[1]) * (100 / 72 if each[2] else 1) for each in lengths if each)
        size = round(width), round(height)
    # the drawing's own; its creator has a title too
    for each in root.iterfind(f".//{WORK}/{DUBLIN_CORE}*"):
        if each.tag == f"{DUBLIN_CORE}title":
            title = each.text or ""
        elif each.tag == f"{DUBLIN_CORE}description":
            words = each.text or ""
    return title, words, size


def _png(content: bytes) -> tuple[str, str, tuple[int, int] | None]:
    """Return title, description and size of an image, whose pixels are half as large as those of the page."""
    texts: dict[str, str] = {}
    at = 8
    while at + 8 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + length]
        name, _, rest = body.partition(b"\0")
        if kind == b"tEXt":
            texts[name.decode("latin-1")] = rest.decode("latin-1")
        elif kind == b"iTXt" and rest[:1] == b"\0":
            # flag and method of compression, then language and translated name, each ended by a zero
            texts[name.decode("latin-1")] = rest[2:].split(b"\0", 2)[-1].decode("utf-8", "replace")
        at += 12 + length
    width, height = int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    return texts.get("Title", ""), texts.get("Description", ""), (width // 2, height // 2) if width else None
