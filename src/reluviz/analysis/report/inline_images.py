"""Embed pictures in the HTML page as data URLs, as long as the page does not become too large."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from reluviz.errors import UserError

MIME_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
MAX_BYTES = 2_000_000
"""Limit for all pictures of a page together; in base64 they are a third longer."""
DUBLIN_CORE, CC_WORK = "{http://purl.org/dc/elements/1.1/}", "{http://creativecommons.org/ns#}Work"


@dataclass(frozen=True)
class InlineImage:
    """A picture of a page.

    Attributes:
        path: its file.
        title: its title.
        description: what it shows, in sentences.
        size: width and height in CSS pixels; None if unknown.
        source: the picture as a data URL; None if it is too large for the page.
    """

    path: Path
    title: str
    description: str
    size: tuple[int, int] | None
    source: str | None


def inline(pictures: Sequence[Path]) -> list[InlineImage]:
    """Return the pictures of a page in order. Of a picture in several formats the smallest file is taken.

    Raises:
        UserError: if a picture cannot be read.
    """
    formats: dict[Path, list[Path]] = {}
    for path in pictures:
        if path.suffix.lower() in MIME_TYPES:
            formats.setdefault(path.with_suffix(""), []).append(path)
    found, bytes_left = [], MAX_BYTES
    for files in formats.values():
        try:
            path = min(files, key=lambda file: file.stat().st_size)
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{files[0]}: cannot be read ({error.strerror or error})") from error
        title, description, size = (_svg_metadata if path.suffix.lower() == ".svg" else _png_metadata)(content)
        fits = len(content) <= bytes_left
        bytes_left -= len(content) if fits else 0
        mime_type = MIME_TYPES[path.suffix.lower()]
        source = f"data:{mime_type};base64,{base64.b64encode(content).decode()}" if fits else None
        found.append(InlineImage(path, title or path.stem, description, size, source))
    return found


def _svg_metadata(content: bytes) -> tuple[str, str, tuple[int, int] | None]:
    """Return title, description and size in CSS pixels of an SVG file."""
    title = description = ""
    size = None
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return title, description, size
    lengths = [re.fullmatch(r"([\d.]+)(pt)?", root.get(name, "")) for name in ("width", "height")]
    if lengths[0] and lengths[1]:
        width, height = (float(length[1]) * (100 / 72 if length[2] else 1) for length in lengths if length)
        size = round(width), round(height)
    # only children of the work: its creator has a title too
    for element in root.iterfind(f".//{CC_WORK}/{DUBLIN_CORE}*"):
        if element.tag == f"{DUBLIN_CORE}title":
            title = element.text or ""
        elif element.tag == f"{DUBLIN_CORE}description":
            description = element.text or ""
    return title, description, size


def _png_metadata(content: bytes) -> tuple[str, str, tuple[int, int] | None]:
    """Return title, description and size in CSS pixels of a PNG file, which has two pixels for each of these."""
    texts: dict[str, str] = {}
    offset = 8
    while offset + 8 <= len(content):
        length, kind = int.from_bytes(content[offset : offset + 4]), content[offset + 4 : offset + 8]
        body = content[offset + 8 : offset + 8 + length]
        name, _, rest = body.partition(b"\0")
        if kind == b"tEXt":
            texts[name.decode("latin-1")] = rest.decode("latin-1")
        elif kind == b"iTXt" and rest[:1] == b"\0":
            # compression flag and method, then language and translated keyword, each ended by a zero byte
            texts[name.decode("latin-1")] = rest[2:].split(b"\0", 2)[-1].decode("utf-8", "replace")
        offset += 12 + length
    width, height = int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    return texts.get("Title", ""), texts.get("Description", ""), (width // 2, height // 2) if width else None
