"""`python -m reluviz view [FOLDER]`: serves the runs below a folder in TensorBoard, open on the tab "ReLU".

Every snapshot is shown. By default TensorBoard keeps a random sample of ten images of a tag, so that a run's slider
skips most of the training.
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
from collections.abc import Sequence
from typing import NoReturn

from reluviz.analysis import last
from reluviz.cli.host_names import allowed_name, only_accepted
from reluviz.errors import UserError
from reluviz.files import EVENT_FILE_PREFIX, FolderWalk

HIGHEST_PORT = 65_535
# Never 0: some of the plugins read it as "keep all", and others as "show none".
KEEP_ALL = 1_000_000
SAMPLED_PLUGINS = ("scalars", "images", "histograms", "reluviz")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise an error of one line; argparse would print its usage in several lines."""
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
        "Open the printed address in a browser. New snapshots of runs that are still training appear as well.",
        epilog="example: python -m reluviz view logs/relu --port 6007",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        default="logs",
        help="a run, a folder of runs, or last for the newest run below logs (default: logs)",
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
        help="address to listen on; 0.0.0.0 accepts other machines, without a password (default: localhost)",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further name to answer to, as the browser's address line has it; localhost, IP addresses and the name "
        "given to --host are always answered (with 0.0.0.0 also this machine's names). Repeat it for several names; "
        "* answers to every name, as a proxy such as Jupyter's needs it",
    )
    return parser


def _has_events(folder: str) -> bool:
    """Return whether TensorBoard would find an event file; like TensorBoard this leaves no folder out."""
    return any(
        name.startswith(EVENT_FILE_PREFIX) for _, _, files in FolderWalk(folder, everything=True) for name in files
    )


def _check_folder(folder: str) -> None:
    try:
        with os.scandir(folder):
            pass
    except FileNotFoundError:
        raise UserError(f"there is no folder {folder}; {last.MAKE_A_RUN}") from None
    except NotADirectoryError:
        raise UserError(f"{folder} is a file; name the folder that holds the run") from None
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}") from None
    if not _has_events(folder):
        raise UserError(f"there are no runs below {folder} (no {EVENT_FILE_PREFIX}*); {last.MAKE_A_RUN}")


def _bind_error(host: str, port: int) -> OSError | None:
    """Return the error of listening on a port, or None. (TensorBoard prints many lines or exits if it is in use.)"""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # On Windows this option would let two servers share a port. On other systems a port would be refused
            # without it for a minute after the last server on it stopped.
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        return error
    except TypeError:  # raised by socket for a text that cannot be a host name
        return OSError(errno.EINVAL, "not a host name")
    # TensorBoard refuses a port that answers on localhost, even if it will serve on another host.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        answers = port != 0 and probe.connect_ex(("localhost", port)) == 0
    return OSError(errno.EADDRINUSE, "in use") if answers else None


def _check_address(folder: str, host: str, port: int, allowed: Sequence[str]) -> None:
    error = _bind_error(host, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        nearby = range(port + 1, min(port + 100, HIGHEST_PORT) + 1)
        free = next((other for other in nearby if _bind_error(host, other) is None), 0)
        command = ["reluviz", "view", folder, "--port", str(free)]
        if host != "localhost":
            command += ["--host", host]
        command += [word for name in allowed for word in ("--allow-host", name)]
        raise UserError(
            f"port {port} is in use, perhaps by another TensorBoard; the next free one: "
            f"{subprocess.list2cmdline(command)}"
        )
    if error.errno == errno.EACCES:
        raise UserError(f"port {port} needs administrator rights; choose one from 1024 up, such as 6006")
    raise UserError(f"cannot listen on host {host!r}: {error.strerror}; the usual host is localhost")


def _serve(folder: str, host: str, port: int, allowed: Sequence[str]) -> str:
    """Start TensorBoard in a thread of this process, and return its address.

    It answers only to the host names that `host_names` accepts.

    Its data server is a child process, which ends when this process ends in any way.
    """
    from tensorboard import default, program

    from reluviz.tab.loader import ReLULoader

    # TensorBoard's own command line does the same: on Windows the registry may have other types, and the page would
    # stay blank.
    for mime, suffix in (("text/javascript", ".js"), ("font/woff2", ".woff2"), ("text/html", ".html")):
        mimetypes.add_type(mime, suffix)
    # Otherwise TensorBoard would try to reach its data server through a proxy, and give up after a while.
    os.environ.setdefault("no_grpc_proxy", "localhost,127.0.0.1")
    # Before stderr is redirected: the first message would bind the handler to the redirected stream.
    logging.basicConfig(level=logging.ERROR)

    # the page opens on the first plugin that has data
    board = program.TensorBoard(
        [ReLULoader, *(other for other in default.get_plugins() if other is not ReLULoader)],
        server_class=lambda application, flags: program.create_port_scanning_werkzeug_server(
            only_accepted(application, host, allowed), flags
        ),
    )
    board.configure(
        logdir=os.path.abspath(folder),
        host=host,
        port=port,
        samples_per_plugin=dict.fromkeys(SAMPLED_PLUGINS, KEEP_ALL),
    )
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return str(board.launch())
    except (program.TensorBoardServerException, SystemExit) as error:
        reason = getattr(error, "msg", "") or " ".join(messages.getvalue().split())
        raise UserError(f"TensorBoard did not start: {reason}") from None


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM, then return 0.

    Raises:
        UserError: if there are no runs, or if the address cannot be used.
    """
    options = _parser().parse_args(argv)
    allowed = [allowed_name(text) for text in options.allow_host]
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        folder = last.run_folder(options.folder)
        _check_folder(folder)
        _check_address(folder, options.host, options.port, allowed)
        address = _serve(folder, options.host, options.port, allowed)
        shown = f" shows the last run, {folder}" if folder != options.folder else ""
        print(f"reluviz: TensorBoard on {address}{shown} (Ctrl-C stops it)", flush=True)
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        return 0
