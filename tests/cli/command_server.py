"""A process that runs many command lines, each in a fork of its own, so that packages are imported only once.

It reads one command a line from standard input, as JSON with `words` and `folder`, and answers each by a line of JSON:
`status` (None if it was stopped after `SECONDS`, negative for a signal), `out`, `err`, and `left`, the paths below the
folder that did not exist before.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path

PROCESSOR_SECONDS, SECONDS = 20, 60
"""The longest time that a command may take, of the processor and on the clock: other programs may slow it down."""
MEMORY = 4 * 2**30
"""Bytes of address space that a command may add to those of the imported packages."""


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def run(words: list[str]) -> int:
    """Run a command line as `python -m reluviz` does, and return its exit status."""
    import reluviz.cli.view
    from reluviz.__main__ import main
    from reluviz.training import helper_processes

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    helper_processes.start = lambda: None
    # TensorBoard would serve until Ctrl-C
    reluviz.cli.view._serve = lambda *args, **kwargs: "http://localhost:6006/"
    reluviz.cli.view.time = types.SimpleNamespace(sleep=stop)
    sys.argv = ["reluviz", *words]
    try:
        return main()
    except SystemExit as done:
        return int(done.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1


def child(words: list[str], folder: Path, out: int, err: int) -> None:
    """Run a command line in this process, which ends with it."""
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    os.chdir(folder)
    os.environ["HOME"] = str(folder.parent)
    status = 1
    try:
        status = run(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status & 255)


def answer(words: list[str], folder: Path) -> dict[str, object]:
    """Run a command line in a new process, and return what it did."""
    before = below(folder)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            child(words, folder, out.fileno(), err.fileno())
        end, status = time.monotonic() + SECONDS, None
        while status is None and time.monotonic() < end:
            done, code = os.waitpid(pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if done else None
            time.sleep(0 if done else 0.005)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        if status is None:
            os.waitpid(pid, 0)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    left = sorted(below(folder) - before)
    return {"status": status, "out": texts[0], "err": texts[1], "left": left}


def main() -> None:
    """Answer commands until standard input ends."""
    import hydra  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import torch

    import reluviz.analysis.export
    import reluviz.analysis.report
    import reluviz.cli.explain
    import reluviz.cli.resume
    import reluviz.cli.sweep.sweep
    import reluviz.cli.train
    import reluviz.cli.view
    import reluviz.training.prepare
    import reluviz.training.run  # noqa: F401

    # a process with threads must not be forked
    torch.set_num_threads(1)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(answer(command["words"], Path(command["folder"]))), flush=True)


if __name__ == "__main__":
    main()
