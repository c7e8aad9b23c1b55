"""`view` answers only to names that cannot have been made to lead to this machine by another person."""

import re
import socket
from typing import Any

import pytest

from reluviz.cli import host_names, view
from reluviz.cli.host_names import is_accepted, only_accepted
from reluviz.errors import UserError


def answers(header: str | None, host: str = "localhost", *allowed: str) -> bool:
    return is_accepted(header, host, allowed)


@pytest.mark.parametrize("header", ["localhost", "localhost:6006", "LOCALHOST:1", "localhost.", "localhost.:6006"])
def test_localhost_is_accepted_with_any_port(header: str) -> None:
    assert answers(header)


@pytest.mark.parametrize(
    "header", ["127.0.0.1", "127.0.0.1:6006", "192.168.1.7:80", "[::1]", "[::1]:6006", "[FE80::1]"]
)
def test_ip_addresses_are_accepted(header: str) -> None:
    assert answers(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "evil.example",
        "evil.example:6006",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "evil.localhost",
        "localhost..",
        "localhost,evil.example",
        "evil.example,localhost",
        "localhost@evil.example",
        "user@localhost",
        "localhost:6006@evil.example",
        "localhost:x",
        "localhost:6006:1",
        "localhost/evil.example",
        "localhost evil.example",
        "localhost\x00",
        "[localhost]",
        "[::1",
        "::1",
        "[::1]evil",
        "[evil.example]",
        "1.2.3",
        "0x7f.0.0.1",
        "2130706433",
        "*",
    ],
)
def test_other_names_and_malformed_headers_are_not_accepted(header: str | None) -> None:
    assert not answers(header)
    assert not answers(header, "0.0.0.0", "lab.example")


def test_the_name_given_to_host_is_accepted() -> None:
    assert answers("Lab.Example:6006", "lab.example")
    assert answers("lab.example", "LAB.example.")
    assert not answers("lab.example", "localhost")


def test_names_given_to_allow_host_are_accepted() -> None:
    assert answers("hub.example:443", "localhost", "lab.example", "Hub.Example.")
    assert not answers("a.hub.example", "localhost", "hub.example")


def test_a_star_accepts_every_name_and_none() -> None:
    assert answers("evil.example", "localhost", "*")
    assert answers(None, "localhost", "*")


def test_with_every_address_the_names_of_the_machine_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Lab7")
    monkeypatch.setattr(socket, "getfqdn", lambda: "lab7.example.org")
    host_names.machine_names.cache_clear()
    try:
        for name in ("lab7", "LAB7:6006", "lab7.local", "lab7.example.org."):
            assert answers(name, "0.0.0.0")
            assert answers(name, "::")
            assert not answers(name, "localhost")
        assert not answers("lab8", "0.0.0.0")
    finally:
        host_names.machine_names.cache_clear()


@pytest.mark.parametrize("name", ["", "a b", "http://lab.example", "*.example", "a/b", "[x]", "a,b"])
def test_a_value_of_allow_host_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^--allow-host .*must be a host's name.*\* for every name$"):
        view.main(["--allow-host", name])


def test_a_port_in_allow_host_is_ignored() -> None:
    assert host_names.allowed_name("Hub.example:8443") == "hub.example"


def test_a_refusal_is_403_in_one_line_that_names_the_option() -> None:
    started: list[Any] = []
    application = only_accepted(lambda environ, start: [b"secret"], "localhost", ())
    (body,) = application({"HTTP_HOST": "evil.example\n\x1b[31m"}, lambda *given: started.append(given))
    assert started[0][0] == "403 Forbidden"
    assert dict(started[0][1])["Content-Length"] == str(len(body))
    line = body.decode("ascii")
    assert line.count("\n") == 1
    assert re.fullmatch(r"reluviz: the host 'evil\.example\\n\\x1b\[31m' is not .*--allow-host NAME\n", line)
    assert application({"HTTP_HOST": "localhost:1"}, lambda *given: None) == [b"secret"]


def raw(port: int, request: str) -> str:
    """Send a request as it stands, and return the answer's first line and its body."""
    with socket.create_connection(("localhost", port), timeout=20) as connection:
        connection.sendall(request.encode("latin-1"))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.splitlines()[0].decode() + "|" + body.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def served(view_process: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("logs")
    (folder / "events.out.tfevents.1.a").write_bytes(b"")
    with view_process(str(folder), "--port", "0", "--allow-host", "hub.example") as (_, line):
        yield int(line.split("//localhost:")[1].split("/")[0])


CLOSE = "Connection: close\r\n\r\n"
REQUESTS = {
    "localhost": ("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n", 200),
    "another port": ("GET / HTTP/1.1\r\nHost: localhost:1\r\n", 200),
    "an address": ("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n", 200),
    "an address of version 6": ("GET / HTTP/1.1\r\nHost: [::1]:{port}\r\n", 200),
    "an allowed name": ("GET / HTTP/1.1\r\nHost: hub.example\r\n", 200),
    "a rebound name": ("GET / HTTP/1.1\r\nHost: evil.example:{port}\r\n", 403),
    "a route of the tab": ("GET /data/plugin/reluviz/runs HTTP/1.1\r\nHost: evil.example\r\n", 403),
    "a post": ("POST /data/runs HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n", 403),
    "no host": ("GET / HTTP/1.1\r\n", 403),
    "an old request without a host": ("GET / HTTP/1.0\r\n", 403),
    "two hosts": ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", 403),
    "an absolute target": ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n", 403),
    "a forwarded host": ("GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n", 403),
    "a forwarded evil host": ("GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: evil.example\r\n", 200),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_live_view_answers_only_to_accepted_names(served: int, case: str) -> None:
    request, status = REQUESTS[case]
    answer = raw(served, request.format(port=served) + CLOSE)
    assert answer.split()[1] == str(status)
    if status == 403:
        assert answer.partition("|")[2].count("\n") == 1
        assert "--allow-host NAME" in answer
