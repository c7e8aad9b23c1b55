import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from reluviz.cli.view import main
from reluviz.errors import UserError

pytestmark = pytest.mark.long

STEPS = 200
SCALAR_STEPS = 3000


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A run with more images, scalars and tensors than TensorBoard keeps by default (10, 1000 and 100)."""
    folder = tmp_path_factory.mktemp("logs")
    random = np.random.default_rng(0)
    with SummaryWriter(str(folder / "relu")) as writer:
        for step in range(STEPS):
            writer.add_image("fit", np.full((3, 8, 8), step, dtype=np.uint8), step)
            writer.add_histogram("elbow", random.normal(size=20), step)
        for step in range(SCALAR_STEPS):
            writer.add_scalar("loss/train", 1 / (1 + step), step)
    return folder


@pytest.fixture(scope="module", params=["data_server", pytest.param("python", marks=pytest.mark.long)])
def url(request, tensorboard_server, logs):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            # As on Windows, where TensorBoard has no data server.
            patch.setenv("TENSORBOARD_DATA_SERVER_BINARY", str(logs / "none"))
        with tensorboard_server(logs) as url:
            yield url


def steps(url, plugin, tag, count):
    """Return the steps that the Time Series tab shows; waits until TensorBoard has read `count` steps."""
    query = [{"plugin": plugin, "tag": tag, "run": "relu", "sample": 0}]
    if plugin != "images":
        del query[0]["sample"]
    data = urllib.parse.urlencode({"requests": json.dumps(query)}).encode()
    deadline = time.monotonic() + 20
    while True:
        with urllib.request.urlopen(f"{url}data/plugin/timeseries/timeSeries", data, timeout=10) as answer:
            series = json.load(answer)[0].get("runToSeries", {}).get("relu", [])
        if len(series) >= count or time.monotonic() > deadline:
            return [point["step"] for point in series]
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.parametrize(
    ("plugin", "tag", "count"),
    [("images", "fit", STEPS), ("histograms", "elbow", STEPS), ("scalars", "loss/train", SCALAR_STEPS)],
)
def test_every_snapshot_is_kept(url, plugin, tag, count):
    assert steps(url, plugin, tag, count) == list(range(count))


def test_the_images_tab_offers_every_snapshot(url):
    steps(url, "images", "fit", STEPS)
    query = f"{url}data/plugin/images/images?run=relu&tag=fit&sample=0"
    with urllib.request.urlopen(query, timeout=10) as answer:
        assert [image["step"] for image in json.load(answer)] == list(range(STEPS))


def test_the_page_shows_the_run_and_a_slider_over_every_snapshot(browser, view_process, logs):
    with view_process(str(logs), "--port", "0") as (process, line):
        url = line.split()[3]
        steps(url, "images", "fit", STEPS)
        page = browser.new_page()
        try:
            # TensorBoard opens only the first two groups of tags.
            page.goto(f"{url}?tagFilter=loss|fit#timeseries")
            page.get_by_text("loss/train", exact=True).first.wait_for()
            page.get_by_text("relu", exact=True).first.wait_for()
            slider = page.locator("image-card input[type=range]")
            slider.wait_for()
            assert int(slider.get_attribute("max")) == STEPS - 1
        finally:
            page.close()
        process.terminate()
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")


def ctrl_c(process):
    """Send SIGINT as a terminal does: also to the data server."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to another process")
@pytest.mark.parametrize(
    "stop",
    [ctrl_c, lambda process: process.send_signal(signal.SIGINT), subprocess.Popen.terminate],
    ids=["ctrl_c", "sigint", "sigterm"],
)
def test_it_stops_at_a_signal_and_leaves_no_process(view_process, logs, stop):
    with view_process(str(logs), "--port", "0") as (process, line):
        assert re.fullmatch(r"reluviz: TensorBoard on http://localhost:\d+/ \(Ctrl-C stops it\)\n", line)
        stop(process)
        # The data server has the same pipes open, so this returns only when it has ended too.
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_kill_leaves_no_data_server(view_process, logs):
    with view_process(str(logs), "--port", "0") as (process, _):
        process.kill()
        process.communicate(timeout=10)
        assert process.returncode == -signal.SIGKILL


def test_tensorboard_reaches_its_data_server_without_the_proxy(view_process, logs, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "example.org")
        started = time.monotonic()
        with view_process(str(logs), "--port", "0"):
            # After 5 s without an answer TensorBoard would use a slower reader instead of its data server.
            assert time.monotonic() - started < 5


def test_a_port_in_use_is_refused_with_the_next_free_one(logs):
    with socket.create_server(("localhost", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"^port {port} is in use") as refusal:
            main([str(logs), "--port", str(port)])
    command = re.search(r"reluviz view (\S+) --port (\d+)$", str(refusal.value))
    assert command[1] == str(logs)
    assert int(command[2]) > port
    socket.create_server(("localhost", int(command[2]))).close()


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no folder \S+none; .* python -m reluviz train \+exp=relu$"):
        main([str(tmp_path / "none")])


def test_the_default_folder_is_logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no folder logs;"):
        main([])


def test_a_folder_without_runs_is_refused(tmp_path):
    (tmp_path / "relu").mkdir()
    (tmp_path / "relu" / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match=r"no runs below .* python -m reluviz train \+exp=relu$"):
        main([str(tmp_path)])


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only administrators make links")
def test_linked_runs_are_found_and_loops_of_links_end(tmp_path, logs):
    for name in ("loop", "again"):
        (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UserError, match="no runs below"):
        main([str(tmp_path)])
    (tmp_path / "relu").symlink_to(logs / "relu", target_is_directory=True)
    with socket.create_server(("localhost", 0)) as other, pytest.raises(UserError, match="is in use"):
        main([str(tmp_path), "--port", str(other.getsockname()[1])])


def test_a_file_is_refused(logs):
    (file,) = (logs / "relu").iterdir()
    with pytest.raises(UserError, match="is a file; name the folder"):
        main([str(file)])


def test_an_unreadable_folder_is_refused(tmp_path):
    tmp_path.chmod(0)
    try:
        if os.access(tmp_path, os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(UserError, match="cannot be read: Permission denied"):
            main([str(tmp_path)])
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "65536"], r"'65536' is not a port: 0 \(any free one\) to 65535"),
        (["--port", "-1"], "'-1' is not a port"),
        (["--port", "http"], "'http' is not a port"),
        (["--prot", "6006"], "unrecognized arguments: --prot 6006"),
        (["one", "two"], "unrecognized arguments: two"),
        (["--host", "no host"], "cannot listen on host 'no host'"),
        (["--host", "é..b"], r"cannot listen on host 'é\.\.b': not a host name"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(logs, arguments, line):
    folder = [] if "one" in arguments else [str(logs)]
    with pytest.raises(UserError, match=line) as refusal:
        main([*folder, *arguments])
    assert "\n" not in str(refusal.value)


def test_help_describes_every_argument(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert text.startswith("usage: reluviz view [-h] [--port N] [--host H] [--allow-host NAME] [FOLDER]")
    assert "such as Jupyter's" in text
    assert all(default in text for default in ("(default: logs)", "(default: 6006)", "(default: localhost)"))


def test_the_verb_imports_neither_torch_nor_tensorboard_at_its_start():
    code = (
        "import sys, reluviz; before = set(sys.modules); import reluviz.cli.view;"
        "sys.exit(bool({'torch', 'lightning', 'tensorboard'} & (set(sys.modules) - before)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
