"""The tab's routes on a live `view`, asked for anything, also about damaged runs: no status 500, bounded memory."""

import gzip
import http.client
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from browser import wait_for_runs
from damage import BYTES, a_huge_length, other_events
from tab_runs import write_run

from reluviz.tab.static_files import static_files

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
SEED = int(os.environ.get("RELUVIZ_FUZZ_SEED", "0"))
REQUESTS = {"data_server": 10_000, "python": 2_000}
"""For each of TensorBoard's readers."""
ON_DAMAGED_RUNS = 500
MORE_MEMORY = 150e6
"""Bytes by which the resident memory of `view` and its data server may grow from the 1,000th request to the last."""
SECRET = b"this file is outside the log folder"
DAMAGED_RUNS = 60

ROUTES = ["runs", "data", "params", "scalars"]
PIECES = [
    "..",
    ".",
    "%2e%2e",
    "..%2f",
    "%2f",
    "%5c",
    "\\",
    "%00",
    "%",
    "%zz",
    "%ff%fe",
    "%C0%AE%C0%AE",
    "//",
    ";",
    "etc/passwd",
    "secret.txt",
    "plugin.py",
    "static",
    "app",
    "core",
    "index.js",
    "style.css",
    "C:",
    "~",
    "*",
    "%F0%9F%98%80",
    "a" * 3000,
]
RUNS = [
    "good",
    "none",
    "",
    ".",
    "..",
    "../secret.txt",
    "..%2Fsecret.txt",
    "%2Fetc%2Fpasswd",
    "good%2F..%2Fgood",
    "good%00",
    "%00",
    "GOOD",
    "%F0%9F%98%80",
    "%ff",
    "a" * 5000,
    "good&run=good",
    "[]",
    "%27%3B--",
]
VALUES = [
    "0",
    "100",
    "-1",
    "1e3",
    "nan",
    "",
    "%00",
    "9" * 20,
    "9" * 5000,
    "%D9%A3",
    "0x10",
    "1&after=2",
    "0" * 16,
    " 7",
]
METHODS = ["GET"] * 12 + ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "FOO"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("base")
    (base / "secret.txt").write_bytes(SECRET)
    rng = random.Random(SEED)
    write_run(base / "logs" / "good", 30, width=4)
    for number in range(DAMAGED_RUNS):
        folder = Path(shutil.copytree(base / "logs" / "good", base / "logs" / f"damaged{number}"))
        (path,) = folder.iterdir()
        rng.choice([other_events, other_events, other_events, other_events, a_huge_length, *BYTES])(rng, path)
    return base / "logs"


@pytest.fixture(scope="module", params=["data_server", "python"])
def view(request: pytest.FixtureRequest, logs: Path, view_process: Any) -> Any:
    """The process of `view` and its port, with each of TensorBoard's two readers."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setenv("TENSORBOARD_DATA_SERVER_BINARY", str(logs / "none"))
        with view_process(str(logs), "--port", "0") as (process, line):
            address = line.split()[3]
            wait_for_runs(address, {"good": 2900})
            time.sleep(2)
            yield process, address.split("/")[2], REQUESTS[request.param]


def memory(process: Any) -> int:
    """The resident memory of a process and of those that it has started, on Linux; elsewhere 0."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if process.pid in (int(fields["Pid"]), int(fields["PPid"])):
            total += 1024 * int(fields.get("VmRSS", "0").split()[0])
    return total


def target(rng: random.Random, damaged: bool) -> str:
    if damaged:
        after = f"&after={rng.choice(['0', '500', '2900'])}" if rng.random() < 0.3 else ""
        return f"{rng.choice(ROUTES)}?run=damaged{rng.randrange(DAMAGED_RUNS)}{after}"
    kind = rng.random()
    if kind < 0.5:
        query = [f"run={rng.choice(RUNS)}"] * (rng.random() < 0.9)
        query += [f"after={rng.choice(VALUES)}"] * (rng.random() < 0.5)
        query += [f"{rng.choice(['tag', 'step', 'x', 'experiment', '%00'])}={rng.choice(PIECES)}"] * (
            rng.random() < 0.2
        )
        query += ["x" * rng.choice([10, 10_000, 60_000])] * (rng.random() < 0.02)
        rng.shuffle(query)
        return f"{rng.choice(ROUTES)}?{'&'.join(query)}"
    if kind < 0.6:
        return rng.choice(sorted(static_files()))
    path = "/".join(rng.choice([*PIECES, *ROUTES]) for _ in range(rng.randrange(1, 7)))
    return path + (f"?run={rng.choice(RUNS)}" if rng.random() < 0.3 else "")


def ask(connection: http.client.HTTPConnection, rng: random.Random, path: str, method: str) -> tuple[int, bytes]:
    """Send a request whose target is not changed, and return the status and the body of the answer."""
    connection.putrequest(method, path, skip_accept_encoding=True)
    if rng.random() < 0.1:
        connection.putheader("Range", rng.choice(["bytes=0-10", "bytes=-5", "bytes=9999999-", "x", "bytes=5-1,7-"]))
    if rng.random() < 0.1:
        connection.putheader("Accept-Encoding", rng.choice(["gzip", "deflate, br", "x;q=9"]))
    body = b"x" * 100 if method in ("POST", "PUT", "PATCH") else b""
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    answer = connection.getresponse()
    held = answer.read()
    return answer.status, gzip.decompress(held) if answer.getheader("Content-Encoding") == "gzip" and held else held


def test_fuzzed_requests_are_answered_without_an_error_and_in_bounded_memory(view: Any) -> None:
    process, host, requests = view
    rng, statuses = random.Random(SEED), Counter[int]()
    damaged_at = set(rng.sample(range(requests), ON_DAMAGED_RUNS))
    before = 0
    for number in range(requests):
        if number == 1000:
            before = memory(process)
        damaged = number in damaged_at
        method = "GET" if damaged else rng.choice(METHODS)
        path = f"/data/plugin/reluviz/{target(rng, damaged)}".replace(" ", "%20")
        connection = http.client.HTTPConnection(host, timeout=20)
        try:
            status, body = ask(connection, rng, path, method)
        finally:
            connection.close()
        what = f"seed {SEED}, request {number}: {method} {path[:300]}: {status} {body[:300]!r}"
        statuses[status] += 1
        assert status < 500 or (status == 501 and method in ("FOO", "get", "TRACE")), what
        assert b"Traceback" not in body, what
        assert SECRET not in body, what
        assert b"root:" not in body, what
        if status >= 400 and damaged:
            assert body.count(b"\n") == 1, what
    assert memory(process) - before < MORE_MEMORY
    assert process.poll() is None
    assert statuses[200] > requests / 20
    assert statuses[400] > 100
    assert statuses[404] > 100
