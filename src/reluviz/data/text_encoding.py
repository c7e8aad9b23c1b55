"""Turn the bytes of a file into text: UTF-8, UTF-16, UTF-32, or Windows-1252, which Latin-1 is a part of."""

import codecs

from reluviz.errors import UserError

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    # before UTF-16, whose mark is the beginning of this one
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte-order mark -> encoding."""
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of .xlsx and .ods files, and of .xls files."""
_CONTROLS = frozenset(range(32)) - set(b"\t\n\v\f\r\x1a")
"""Bytes that no text has. Byte 26 ends the files of old programs."""
SAMPLE = 1_000
"""Bytes at the beginning by which UTF-16 without a byte-order mark is recognised."""


def decode(content: bytes, where: str) -> tuple[str, str]:
    """Return the text of a file, and a line for the user if its encoding had to be assumed.

    Digits and separators have the same bytes in all encodings of one byte per character. So numbers are right even if
    the encoding is another one than Windows-1252; only letters of names may differ.

    Args:
        content: the bytes of the file.
        where: the file, for error messages.

    Raises:
        UserError: if it is no text.
    """
    mark, encoding = next(
        ((mark, name) for mark, name in MARKS.items() if content.startswith(mark)), (b"", _without_mark(content))
    )
    try:
        return content.removeprefix(mark).decode(encoding), ""
    except UnicodeDecodeError as error:
        if not mark and _CONTROLS.isdisjoint(content):
            try:
                return content.decode("cp1252"), "not in UTF-8, read as Windows-1252"
            except UnicodeDecodeError:
                # five bytes have no meaning in it
                pass
        kind = "is a spreadsheet" if content.startswith(SPREADSHEETS) else "is not text in UTF-8"
        raise UserError(f"{where}: {kind}; save it as 'CSV UTF-8', or as NPZ") from error


def _without_mark(content: bytes) -> str:
    """Return the encoding of a file without a byte-order mark."""
    # in UTF-16 every second byte of digits and separators is 0
    even, odd = content[:SAMPLE:2], content[1:SAMPLE:2]
    for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if len(content) % 2 == 0 and 2 * zeros.count(0) > len(zeros) and not others.count(0):
            return name
    return "utf-8"
