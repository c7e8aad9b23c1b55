"""The command line: a table of verbs, and the function that runs one."""

import atexit
import contextlib
import errno
import importlib
import os
import sys
from typing import NoReturn

from reluviz.cli import wall_clock
from reluviz.cli.interrupts import raise_ignored_interrupts

VERBS = {
    "train": ("reluviz.cli.train", "train a model and record how it learns"),
    "view": ("reluviz.cli.view", "show runs in TensorBoard"),
    "playground": ("reluviz.cli.playground", "write and open a page that trains models in the browser"),
    "export": ("reluviz.analysis.export", "make pages, animations, pictures and tables from runs"),
    "report": ("reluviz.analysis.report", "compute statistics over many runs: table, findings, pictures, a page"),
    "explain": ("reluviz.cli.explain", "show equations and numbers behind an experiment, without training"),
}

CANNOT_WRITE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EROFS, errno.EFBIG)
"""Error numbers for a full disk, an exceeded quota, a read-only file system and an exceeded size of files."""
THREAD_VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
"""Environment variables that numba and OpenMP read when they are imported, and refuse with a traceback."""


def main() -> int:
    """Run the verb of the command line and return the exit status: 0, 2 for bad input, 3 for a run that diverged."""
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb in ("--help", "-h", "help"):
        print(usage())
        return 0
    if verb in ("--version", "-V"):
        # it takes 10 ms to import
        from importlib.metadata import version

        print(f"reluviz {version('reluviz')}")
        return 0
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, [*VERBS, "--help", "--version"], 1)
        suggestion = f"; did you mean {near[0]}?" if near else ""
        print(f"reluviz: {' '.join(verb.split())}: must be one of {', '.join(VERBS)}{suggestion}", file=sys.stderr)
        return 2
    if problem := _environment_problem():
        print(f"reluviz: {problem}", file=sys.stderr)
        return 2
    from reluviz.errors import UserError
    from reluviz.training.lightning_startup import without_gc

    try:
        with without_gc():
            run = importlib.import_module(VERBS[verb][0]).main
        return int(run(rest))
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"reluviz: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # The reader of the output is gone, as in: explain | head. Python flushes the output once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in CANNOT_WRITE or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        # not every such error names the file
        print(f"reluviz: {error.filename or 'a file'}: cannot be written to ({error.strerror})", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        from reluviz.training.memory import is_out_of_memory

        if not is_out_of_memory(error) or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"reluviz: not enough memory ({' '.join(str(error).split())})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("reluviz: interrupted", file=sys.stderr)
        return 130


def _environment_problem() -> str | None:
    """Return what makes every verb impossible: a working folder that is gone, or a variable with a wrong value."""
    try:
        os.getcwd()
    except OSError:
        return "the current folder does not exist any more; change to another"
    for name in THREAD_VARIABLES:
        # OpenMP takes a list, a number for each level
        values = os.environ.get(name, "1").split("," if name.startswith("OMP") else None)
        if not all(value.strip().isdecimal() and int(value) > 0 for value in values):
            return f"{name}={os.environ[name]}: must be a whole number of at least 1 (an environment variable)"
    return None


def usage() -> str:
    """Return the help text."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {purpose}" for verb, (_, purpose) in VERBS.items())
    return f"""usage: python -m reluviz VERB ...

Watch how gradient descent learns: votes, slopes and elbows, in TensorBoard.

{verbs}

start here:
  python -m reluviz explain +exp=linear    each point's vote and weight
  python -m reluviz train +exp=relu        train the course's ReLU network
  python -m reluviz view                   show it in TensorBoard
  python -m reluviz train --help           experiments, choices and keys

options:
  --version  print the version
  --help     print this help"""


def process() -> NoReturn:
    """Run `main` in a process of its own: with lazy imports, and with an exit that skips Python's cleanup (0.3 s)."""
    wall_clock.begin()
    status: list[int] = []

    def exit_without_cleanup() -> None:
        if status:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(status[0])

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # the stream was closed before this process started
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115

    raise_ignored_interrupts(lambda: bool(status))
    # atexit calls the function that was registered first as the last one
    atexit.register(exit_without_cleanup)
    if sys.argv[1:2] and sys.argv[1] in VERBS:
        from reluviz.cli.lazy_imports import install_lazy_imports

        install_lazy_imports()
    status.append(main())
    sys.exit(status[0])


if __name__ == "__main__":
    process()
