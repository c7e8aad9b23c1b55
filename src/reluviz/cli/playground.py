"""`python -m reluviz playground`: writes a page that trains models by itself, and opens it in the browser.

The page is one file without runs. It needs neither a server nor a network, and can lie on a course's site.
"""

import argparse
import webbrowser
from pathlib import Path

from reluviz.errors import UserError
from reluviz.files import atomic_write, short_path, typed_path
from reluviz.tab import html_file

DEFAULT_FILE = "reluviz-playground.html"
SUFFIXES = (".html", ".htm")
MARKER = html_file.PLAYGROUND_GENERATOR.encode()
"""The beginning of a playground's page holds this text."""
MARKER_BYTES = 1000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reluviz playground",
        description="Write a page that trains models in the browser, and open it. It is one file and needs neither a "
        "server nor a network: put it on a site, or send it by mail.",
        epilog="example: python -m reluviz playground --out course/relu.html --no-open",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--out", metavar="FILE", default=DEFAULT_FILE, help=f"the file to write (default: {DEFAULT_FILE})"
    )
    parser.add_argument("--no-open", action="store_true", help="do not open it in the browser")
    return parser


def _check_replaceable(path: Path, given: str) -> None:
    """Check that a file does not exist or is a playground.

    Raises:
        UserError: if it is another file, is a folder, or cannot be read.
    """
    try:
        if path.is_dir():
            raise UserError(f"--out {given}: is a folder; name a file in it, such as {path / DEFAULT_FILE}")
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"--out {given}: must end in {SUFFIXES[0]}, so that a browser shows it as a page")
        if not path.exists() and not path.is_symlink():
            return
        if not path.is_file():
            raise UserError(f"--out {given}: exists and is no file; name another one")
        with path.open("rb") as stream:
            beginning = stream.read(MARKER_BYTES)
    except OSError as error:
        raise UserError(f"--out {given}: cannot be read ({error.strerror or error})") from None
    if MARKER not in beginning:
        raise UserError(f"--out {given}: exists and is no playground of reluviz; name another file")


def main(argv: list[str]) -> int:
    """Write the page, print its path, open it, and return 0.

    Raises:
        UserError: if it cannot be written, or another file has its name.
    """
    options = _parser().parse_args(argv)
    path = typed_path(options.out)
    _check_replaceable(path, options.out)
    page = html_file.playground()
    with atomic_write(path) as partial:
        partial.write_text(page, encoding="utf-8")
    print(f"{short_path(path)}  {-(-path.stat().st_size // 1000)} kB", flush=True)
    if not options.no_open and not webbrowser.open(path.resolve().as_uri()):
        print("there is no browser here; open the file in one")
    return 0
