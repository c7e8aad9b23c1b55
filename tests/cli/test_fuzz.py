"""Command lines and data files drawn at random: each is done, or refused in one line that leaves nothing behind.

Keys, choices and flags are read from conf/ and from the verbs, so that a new one is drawn without a change here.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from reluviz.analysis.export import arguments as export_arguments
from reluviz.analysis.report import arguments as report_arguments
from reluviz.cli import config, view
from reluviz.cli.command_line import FLAGS
from reluviz.files import FAILURE_FILE, conf_folder
from reluviz.record.settings import leaves

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each command runs in a fork"),
]
SEED = int(os.environ.get("RELUVIZ_FUZZ_SEED", "15"))
COMMANDS, FILES = 500, 200
STATUSES = (0, 2, 3)

VALUES = [
    *("-1", "0", "1", "2", "3", "0.5", "1e-3", "1e308", "-1e308", "1e-310", "-0.0", "nan", "inf", "-inf", "1e400"),
    *("4294967296", "99999999999999999999999", "0x10", "1_000", "null", "true", "false", "", "''", '""', "abc", "???"),
    *("[]", "{}", "[1,2]", "[[0,1],[1,3]]", "[a,b]", "[null]", "{a:1}", "{_target_:os.getcwd}", "{a:{b:[1]}}"),
    *(
        "${updates}",
        "${foo}",
        "${oc.env:HOME}",
        "${oc.env:NONE_SUCH}",
        "${now:%Y}",
        "${hydra:runtime.cwd}",
        "${",
        "${}",
    ),
    *("1,2", "a,b", "1,1", "null,1", "[1],[2]", "range(1,3)", "range(0)", "range(3,1,-1)", "choice(1,2)", "choice()"),
    *("interval(0,1)", "tag(a,choice(1,2))", "sort(2,1)", "shuffle(1,2)", "glob(*)", "glob([a*],exclude=b)", "int(3)"),
    *(
        "float(a)",
        "str([1])",
        "bool(x)",
        "extend_list(1)",
        "'quoted'",
        "'open",
        '"open',
        "\\",
        "a b",
        "a=b",
        "=",
        "a:b",
    ),
    *(
        "é☃",
        "a\nb",
        "\t",
        "a" * 300,
        "~",
        "..",
        ".",
        "#",
        "$",
        "%s",
        "{",
        "}",
        "(",
        "[",
        "a,",
        ",",
        "*",
        "@",
        "-",
        "--",
    ),
    *("good.csv", "none.csv", "logs/one", "last", "torch.optim.SGD", "os.getcwd", "reluviz.data.sine", "torch", "x.y"),
]
KINDS = """\
train callbacks.snapshots=log
train +trainer.accumulate_grad_batches=2
train -m model.width=range(0)
train -m seed=glob(*)
train scheduler=[1,2]
train regime=[0,0]
train ~exp=1
train hydra/job_logging=1
train -m hydra.sweeper=x
train -m hydra.verbose=choice(1,2)
train data.noise=1e200
train model.width=1 model.elbows=given model.positions=[1e300]
train +trainer.max_steps=3
train +trainer.fast_dev_run=true
explain data.noise=1e200
explain ~exp=1
explain scheduler=[1,2]
"""


def conf_keys() -> list[str]:
    """Return every key of conf/ and of Hydra's own node."""
    composed: Any = OmegaConf.to_container(config.compose_checked([]), resolve=False)
    found = {key for key, _ in leaves(composed)}
    for group in config.groups():
        for choice in config.choices(group):
            path = conf_folder() / group / f"{choice}.yaml"
            is_global = "@package _global_" in path.read_text(encoding="utf-8")
            node: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
            found |= {key for key, _ in leaves(node, "" if is_global else f"{group}.") if "defaults" not in key}
    # a run's folder anywhere on this machine would be one that the test does not see
    return sorted(found - {"hydra.runtime.output_dir", "hydra.runtime.cwd"})


def trainer_keys() -> list[str]:
    import inspect

    import lightning as L

    return [f"trainer.{name}" for name in inspect.signature(L.Trainer).parameters]


def flags_of(parser: Any) -> list[str]:
    return [flag for action in parser._actions for flag in action.option_strings]


def lines() -> st.SearchStrategy[list[str]]:
    """Return a strategy for command lines, as words."""
    keys, groups = conf_keys(), config.groups()
    small_text = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), max_size=6)
    value = st.one_of(
        st.sampled_from(VALUES),
        st.sampled_from(VALUES),
        st.integers(-5, 60).map(str),
        st.floats(width=32).map(repr),
        st.lists(st.integers(-3, 5), max_size=3).map(lambda some: str(some).replace(" ", "")),
        small_text,
    )
    choice = st.sampled_from([f"{group}={one}" for group in groups for one in config.choices(group)])
    prefix = st.sampled_from(["", "", "", "", "", "+", "++", "~"])
    package = st.sampled_from(["", "", "", "", "", "@model", "@_global_", "@a.b:c", "@"])
    key = st.one_of(st.sampled_from(keys), st.sampled_from(trainer_keys()), st.sampled_from(groups), small_text)
    override = st.one_of(
        choice,
        st.builds("{}{}{}={}".format, prefix, key, package, value),
        st.builds("{}={}".format, st.sampled_from(keys), value),
        st.builds("{}={}".format, st.sampled_from([key for key in keys if not key.startswith("hydra")]), value),
        st.builds("{}{}".format, prefix, key),
        st.builds(
            "hydra/{}={}".format, st.sampled_from(["launcher", "sweeper", "job_logging", "output", "env"]), value
        ),
        st.builds("{}={}".format, choice.map(lambda text: text.partition("=")[0]), value),
    )
    flag = st.sampled_from([*FLAGS, "-m", "-m", "-m", "--none", "-x", "--cfg=job", "--info=all", "--", "-"])
    train = st.tuples(st.lists(override, min_size=1, max_size=3), st.lists(flag, max_size=1)).flatmap(
        lambda parts: st.permutations([*parts[0], *parts[1]])
    )
    few = ["callbacks=minimal", "updates=3", "sweep.trials=2"]
    # what is drawn for a key comes after what keeps the run short
    shortened = train.map(lambda words: ["train", *(few if is_short(words) else few[1:]), *words])

    def other(verb: str, flags: list[str]) -> st.SearchStrategy[list[str]]:
        word = st.one_of(st.sampled_from(flags), st.sampled_from(flags), st.sampled_from(["logs", "logs/one"]), value)
        return st.lists(word, max_size=4).map(lambda words: [verb, *words])

    return st.one_of(
        *[shortened] * 6,
        st.lists(st.one_of(override, st.sampled_from(["--json", "--help"])), max_size=3).map(lambda o: ["explain", *o]),
        other("view", flags_of(view._parser())),
        other("export", flags_of(export_arguments._parser())),
        other("report", flags_of(report_arguments._parser())),
        st.lists(value, max_size=2),
    ).filter(is_cheap)


def is_short(words: list[str]) -> bool:
    return not any("callbacks" in word for word in words)


def is_cheap(words: list[str]) -> bool:
    """Return whether a command neither runs for long, as it is asked to, nor writes outside its folder."""
    text = " ".join(words)
    starts_processes = any(
        f"{name}=" in text and any(f"={one}" in text for one in ("joblib", "ray", "slurm"))
        for name in ("launcher", "hydra/launcher")
    )
    return not (starts_processes and ("-m" in words or "--multirun" in words or "exp=" in text)) and "=/" not in text


def data_files() -> st.SearchStrategy[tuple[str, bytes]]:
    """Return a strategy for the name and the content of a file."""
    cell = st.one_of(
        st.sampled_from(
            ["1", "2.5", "-3", "1e-310", "1e308", "nan", "inf", "", " ", "1,5", "1.000,5", "abc", '"1"', '"']
        ),
        st.sampled_from(
            ["x", "y", "NA", "#", "1e60", "1e59", "-1e45", "1e-59", "0", "2026-01-01", "12:30", "\x00", "é"]
        ),
        st.floats().map(repr),
        st.integers(-(10**6), 10**6).map(str),
    )
    number = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-100, 100)).map(repr)

    def table(cells: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
        rows = st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), max_size=8))
        separator, end = st.sampled_from([",", ";", "\t", " ", "|"]), st.sampled_from(["\n", "\r\n", "\r", "\n\n"])
        header = st.sampled_from(["", "x,y\n", "x;y\n", "a\tb\n", "# comment\n", "x,x\n", "\ufeffx,y\n"])
        coding = st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-32", "cp1252"])
        return st.builds(
            lambda head, some, sep, stop, code: (head + stop.join(sep.join(row) for row in some)).encode(
                code, "replace"
            ),
            *(header, rows, separator, end, coding),
        )

    dtype = st.sampled_from(
        ["<f8", ">f4", "<f2", "<i8", "|u1", "?", "<c16", "<U3", "|S2", "<M8[s]", "|O", "<U100000000"]
    )
    shape = st.one_of(
        st.tuples(st.sampled_from([0, 1, 2, 5, -1, 10**6, 10**15])),
        st.just(()),
        st.just((5, 1)),
        st.just((1, 5)),
        st.just((2, 0)),
        st.just((10**8, 10**8)),
    )
    array = st.builds(npy, dtype, shape, st.booleans(), st.binary(max_size=64), st.sampled_from([0, 40]))
    archive = st.builds(
        npz,
        st.lists(
            st.tuples(
                st.sampled_from(["x.npy", "y.npy", "z.npy", "x", "../x.npy"]),
                st.one_of(array, array, st.binary(max_size=80)),
            ),
            max_size=3,
        ),
        st.integers(0, 400),
        st.integers(0, 9),
    )
    return st.one_of(
        st.tuples(st.just("a.csv"), table(number)),
        st.tuples(st.just("a.csv"), table(cell)),
        st.tuples(st.just("a.csv"), st.binary(max_size=200)),
        st.tuples(st.just("a.npz"), archive),
        st.tuples(st.sampled_from(["a.npz", "a.NPZ"]), st.one_of(st.binary(max_size=100), array)),
    )


def npy(dtype: str, shape: tuple[int, ...], fortran: bool, body: bytes, numbers: int) -> bytes:
    """Return an array file whose header may lie."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": fortran, "shape": shape})
    return stream.getvalue() + (np.arange(5.0).tobytes() if numbers else body)


def npz(members: list[tuple[str, bytes]], place: int, damage: int) -> bytes:
    """Return an archive, with one byte changed if `damage` is 1."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in dict(members).items():
            archive.writestr(name, content)
    content = bytearray(stream.getvalue())
    if damage == 1:
        content[place % len(content)] ^= 0x55
    return bytes(content)


def draw(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Return different examples of a strategy; the same ones each time, unless `RELUVIZ_FUZZ_SEED` chooses others."""
    found: dict[str, Any] = {}

    @seed(SEED)
    @settings(
        max_examples=2 * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.setdefault(repr(example), example)

    collect()
    return list(found.values())[:count]


class Server:
    """A process of `command_server`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("command_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def answer(self, words: list[str], folder: Path) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"words": words, "folder": str(folder)}) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))


def problem(words: list[str], answer: dict[str, Any]) -> str | None:
    """Return what is wrong with the answer to a command; None if nothing is."""
    status, err, left = answer["status"], str(answer["err"]), answer["left"]
    # other characters at which Python splits lines may be part of a word
    last = err.strip().split("\n")[-1:]
    if status is None or (status < 0 and -status in (signal.SIGXCPU, signal.SIGKILL)):
        return "takes more than 20 s of the processor, or 60 s"
    if "Traceback" in err or "Warning: " in err:
        return "\n".join(err.strip().splitlines()[-6:])
    if status not in STATUSES:
        return f"status {status}: {err[-300:]}"
    if status == 2:
        # a job of a sweep may be refused after others were trained
        if left and not any(path.endswith(FAILURE_FILE) for path in left):
            return f"leaves {left[:5]} with {last}"
        if not any(path.endswith(FAILURE_FILE) for path in left) and not (last and last[0].startswith("reluviz: ")):
            return None if "not found in config" in err else f"no line: {err[-300:]}"
    return None


def run_all(tmp_path: Path, commands: list[tuple[list[str], dict[str, bytes]]]) -> str:
    """Run commands, each in a folder with its files, and return what is wrong."""
    template = tmp_path / "template"
    template.mkdir()
    (template / "good.csv").write_text("x,y\n0,2\n1,1\n2,5\n")
    servers: SimpleQueue[Server] = SimpleQueue()

    def run(number: int) -> tuple[Any, str | None]:
        words, files = commands[number]
        place = tmp_path / str(number) / "work"
        shutil.copytree(template, place)
        for name, content in files.items():
            (place / name).write_bytes(content)
        server = servers.get()
        answer = server.answer(words, place)
        servers.put(server)
        shutil.rmtree(place.parent)
        found = problem(words, answer)
        return answer["status"], found and f"{words!r} {[*files.values()]!r}: {found}"

    workers = min(4, os.cpu_count() or 1)
    running = [Server() for _ in range(workers)]
    try:
        few = ["updates=3", "callbacks=minimal", "hydra.run.dir=logs/one"]
        assert running[0].answer(["train", *few], template)["status"] == 0
        for server in running:
            servers.put(server)
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(run, range(len(commands))))
    finally:
        for server in running:
            server.process.communicate(timeout=60)
    print("statuses:", Counter(status for status, _ in found))
    return "\n\n".join(line for _, line in found if line)


def test_command_lines_end_or_are_refused_in_one_line_and_leave_nothing(tmp_path: Path) -> None:
    drawn = draw(lines(), COMMANDS)
    assert len(drawn) >= COMMANDS
    commands = [*(line.split() for line in KINDS.splitlines()), *drawn]
    problems = run_all(tmp_path, [(words, {}) for words in commands])
    assert not problems, problems


def test_data_files_are_read_or_refused_in_one_line_and_leave_nothing(tmp_path: Path) -> None:
    drawn = draw(data_files(), FILES)
    assert len(drawn) >= FILES
    commands = []
    for number, (name, content) in enumerate(drawn):
        verb = [
            "explain",
            "train updates=3 callbacks=minimal",
            "train updates=3 model=linear",
            "explain model=constant",
        ]
        few = [*verb[number % len(verb)].split(), "data=file", f"data.path={name}"]
        commands.append((few, {name: content}))
    problems = run_all(tmp_path, commands)
    assert not problems, problems
