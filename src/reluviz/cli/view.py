"""`python -m reluviz view [FOLDER]`: TensorBoard on the runs below a folder, open on the tab "ReLU".

Every snapshot is kept. TensorBoard alone keeps a random ten images a tag, so that the slider of a run skips most of
its learning.
"""

import argparse
import contextlib
import errno
import io
import logging
import mimetypes
import os
import signal
import socket
import subprocess
import threading
import time
from typing import NoReturn

from reluviz.errors import UserError

MAKE_A_RUN = "make a run with: python -m reluviz train +exp=relu"
HIGHEST_PORT = 65_535
# Never 0: some of the plugins read it as "all", and others as "show none".
KEEP_ALL = 1_000_000
SAMPLED_PLUGINS = ("scalars", "images", "histograms", "reluviz")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise where argparse would print its usage, several lines of it."""
        raise UserError(f"{message} (python -m reluviz view --help)")


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= port <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 (any free one) to {HIGHEST_PORT}")
    return port


def _parser() -> _Parser:
    parser = _Parser(
        prog="reluviz view",
        description="Show runs in TensorBoard: the tab ReLU, and every snapshot of every image, scalar and histogram. "
        "Open the address that it prints in a browser. Runs that are still training are followed.",
        epilog="example: python -m reluviz view logs/relu --port 6007",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        default="logs",
        help="a run, or a folder of runs (default: logs)",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=_port,
        default=6006,
        help="port to listen on; 0: any free one (default: 6006)",
    )
    parser.add_argument(
        "--host",
        metavar="H",
        default="localhost",
        help="address to listen on; 0.0.0.0 lets other machines in, without a password (default: localhost)",
    )
    return parser


def _has_events(folder: str) -> bool:
    """Say whether TensorBoard would find anything; like it, follow links, but no loop of them twice."""
    seen: set[str] = set()
    for path, subfolders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        if any(name.startswith("events.out.tfevents.") for name in files):
            return True
    return False


def _check_folder(folder: str) -> None:
    try:
        with os.scandir(folder):
            pass
    except FileNotFoundError:
        raise UserError(f"there is no folder {folder}; {MAKE_A_RUN}") from None
    except NotADirectoryError:
        raise UserError(f"{folder} is a file; name the folder that holds the run") from None
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}") from None
    if not _has_events(folder):
        raise UserError(f"there are no runs below {folder} (no events.out.tfevents.*); {MAKE_A_RUN}")


def _bind_error(host: str, port: int) -> OSError | None:
    """Try the port as TensorBoard will: asked to serve on one in use, it prints many lines or exits."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # On Windows this option would let two servers share a port; elsewhere its lack would refuse a
            # port for a minute after the last server on it stopped.
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        return error
    except TypeError:  # what socket says of a name that no host can have
        return OSError(errno.EINVAL, "not a host name")
    # TensorBoard refuses a port that answers on localhost, whatever the host it is to serve on.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        answers = port != 0 and probe.connect_ex(("localhost", port)) == 0
    return OSError(errno.EADDRINUSE, "in use") if answers else None


def _check_address(folder: str, host: str, port: int) -> None:
    error = _bind_error(host, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        nearby = range(port + 1, min(port + 100, HIGHEST_PORT) + 1)
        free = next((other for other in nearby if _bind_error(host, other) is None), 0)
        command = ["reluviz", "view", folder, "--port", str(free)]
        if host != "localhost":
            command += ["--host", host]
        raise UserError(
            f"port {port} is in use, perhaps by another TensorBoard; the next free one: "
            f"{subprocess.list2cmdline(command)}"
        )
    if error.errno == errno.EACCES:
        raise UserError(f"port {port} needs an administrator's rights; take one from 1024 up, say 6006")
    raise UserError(f"cannot listen on host {host!r}: {error.strerror}; localhost is the usual one")


def _serve(folder: str, host: str, port: int) -> str:
    """Start TensorBoard in a thread of this process, and return its address.

    Its data server is a child that ends when this process does, however that comes about.
    """
    from tensorboard import default, program

    from reluviz.tab.loader import ReLULoader

    # What `tensorboard` does when started from its own command line: on Windows the registry may say
    # otherwise, and the page stays blank.
    for mime, suffix in (("text/javascript", ".js"), ("font/woff2", ".woff2"), ("text/html", ".html")):
        mimetypes.add_type(mime, suffix)
    # Behind a proxy the data server would be looked for there, and given up after a while.
    os.environ.setdefault("no_grpc_proxy", "localhost,127.0.0.1")
    # Before stderr is redirected, or the first message would tie all later ones to the redirection.
    logging.basicConfig(level=logging.ERROR)

    # the page opens on the first plugin that has something to show
    board = program.TensorBoard([ReLULoader, *(other for other in default.get_plugins() if other is not ReLULoader)])
    board.configure(
        logdir=os.path.abspath(folder),
        host=host,
        port=port,
        samples_per_plugin=dict.fromkeys(SAMPLED_PLUGINS, KEEP_ALL),
    )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return str(board.launch())
    except (program.TensorBoardServerException, SystemExit) as error:
        reason = getattr(error, "msg", "") or " ".join(said.getvalue().split())
        raise UserError(f"TensorBoard did not start: {reason}") from None


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM, then return 0; raise UserError where there is nothing to serve."""
    options = _parser().parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _check_folder(options.folder)
        _check_address(options.folder, options.host, options.port)
        address = _serve(options.folder, options.host, options.port)
        print(f"reluviz: TensorBoard on {address} (Ctrl-C stops it)", flush=True)
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        return 0
