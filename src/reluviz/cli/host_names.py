"""Which host names `view` answers to: a defence against DNS rebinding.

A page on the internet can have its own name lead to 127.0.0.1, and the browser then lets it read what a server on this
machine answers. The browser still sends the page's name as the host, so a server is safe that answers to known names
only. A number cannot be made to lead elsewhere, so every IP address is accepted.
"""

import functools
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from typing import Any

from reluviz.errors import UserError

ANY = "*"
"""In place of a name: every name is accepted."""
ALL_ADDRESSES = ("0.0.0.0", "::")
"""Hosts that mean every address of this machine."""
NAME = re.compile(r"[^\s\[\]:/?#@,]+")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def name_in(header: str) -> str | None:
    """Return the name in a Host header in lower case, without port and final dot; None if the header is malformed.

    An IPv6 address keeps its brackets.
    """
    found = re.fullmatch(rf"(\[[0-9A-Fa-f:.]+\]|{NAME.pattern})(:[0-9]*)?", header.strip())
    return found[1].lower().removesuffix(".") if found else None


def is_accepted(header: str | None, host: str, allowed: Iterable[str]) -> bool:
    """Return whether a request is answered.

    Args:
        header: its Host header; None if it has none.
        host: the value of --host.
        allowed: the values of --allow-host.
    """
    names = {one.lower().removesuffix(".") for one in allowed}
    if ANY in names:
        return True
    name = None if header is None else name_in(header)
    if name is None:
        return False
    if name == "localhost" or name in names or name == host.lower().removesuffix(".") or _is_address(name):
        return True
    return host in ALL_ADDRESSES and name in machine_names()


@functools.cache
def machine_names() -> frozenset[str]:
    """Return the names under which other machines reach this one, in lower case."""
    given = socket.gethostname().lower()
    # the full name may take a while, where a name server does not answer
    full = socket.getfqdn().lower().removesuffix(".")
    short = given.partition(".")[0]
    return frozenset({given, full, short, f"{short}.local"})


def allowed_name(text: str) -> str:
    """Return the value of an argument --allow-host without its port.

    Raises:
        UserError: if it is neither a name nor `*`.
    """
    name = ANY if text == ANY else name_in(text)
    if name is None or (name != ANY and ANY in name):
        raise UserError(f"--allow-host {text!r}: must be a host's name, such as lab.example.org, or * for every name")
    return name


def only_accepted(application: Application, host: str, allowed: Iterable[str]) -> Application:
    """Return a WSGI application that answers 403 in one line to requests for other names."""
    allowed = tuple(allowed)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        header = environ.get("HTTP_HOST")
        if is_accepted(header, host, allowed):
            return application(environ, start_response)
        shown = "a request without a host" if header is None else f"the host {header[:80]!a}"
        body = f"reluviz: {shown} is not answered; if you trust the name, add: view --allow-host NAME\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("403 Forbidden", headers)
        return [body]

    return answer


def _is_address(name: str) -> bool:
    try:
        if name.startswith("["):
            ipaddress.IPv6Address(name[1:-1])
        else:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
