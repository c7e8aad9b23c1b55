"""`python -m reluviz playground`: the file that it writes, what it refuses, and what it opens."""

import os
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from reluviz.__main__ import main
from reluviz.tab import html_file

NAME = "reluviz-playground.html"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the addresses that the command opens, instead of a browser."""
    addresses: list[str] = []

    def remember(address: str) -> bool:
        addresses.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", remember)
    return addresses


def playground(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["reluviz", "playground", *words])
    return main()


def test_it_writes_one_file_here_prints_its_path_and_opens_it(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert playground(monkeypatch) == 0
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_text("utf-8") == html_file.playground()
    size = -(-len(html_file.playground().encode()) // 1000)
    assert capsys.readouterr() == (f"{NAME}  {size} kB\n", "")
    assert opened == [(tmp_path / NAME).as_uri()]


def test_out_names_the_file_and_no_open_opens_nothing(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert playground(monkeypatch, "--out", "course week 3/relu.html", "--no-open") == 0
    assert [path.name for path in (tmp_path / "course week 3").iterdir()] == ["relu.html"]
    assert capsys.readouterr().out.startswith(f"{Path('course week 3/relu.html')}  ")
    assert opened == []


def test_it_says_where_there_is_no_browser(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert playground(monkeypatch) == 0
    assert capsys.readouterr().out.endswith("there is no browser here; open the file in one\n")


def test_it_replaces_a_playground_and_nothing_else(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / NAME
    path.write_text(html_file.playground()[:5000], "utf-8")
    assert playground(monkeypatch) == 0
    assert path.read_text("utf-8") == html_file.playground()
    capsys.readouterr()
    # a page with runs is reluviz's too, but its runs would be lost
    for other in ("my own page", "", html_file.html({})):
        path.write_text(other, "utf-8")
        assert playground(monkeypatch) == 2
        line = f"reluviz: --out {NAME}: exists and is no playground of reluviz; name another file\n"
        assert capsys.readouterr() == ("", line)
        assert path.read_text("utf-8") == other
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--out", "there"], f"--out there: is a folder; name a file in it, such as {Path('there') / NAME}"),
        (["--out", "page.txt"], "--out page.txt: must end in .html, so that a browser shows it as a page"),
        (["--out", "file.txt/x.html"], f"{Path('file.txt/x.html')}: cannot be written (File exists)"),
        (["--out", "x" * 300 + ".html"], f"--out {'x' * 300}.html: cannot be read (File name too long)"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has other words for these errors")
def test_what_cannot_be_written_is_refused_in_one_line(
    words: list[str],
    line: str,
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file.txt").touch()
    assert playground(monkeypatch, *words) == 2
    assert capsys.readouterr() == ("", f"reluviz: {line}\n")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file.txt", "there"]
    assert opened == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_is_refused_without_waiting_for_it(
    opened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe.html")
    assert playground(monkeypatch, "--out", "pipe.html") == 2
    assert capsys.readouterr().err == "reluviz: --out pipe.html: exists and is no file; name another one\n"


def test_it_imports_no_large_package() -> None:
    code = (
        "import sys; sys.argv = ['reluviz', 'playground', '--no-open']; from reluviz.__main__ import main; main();"
        "print({'torch', 'lightning', 'hydra', 'matplotlib', 'tensorboard', 'numpy', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "set()"
