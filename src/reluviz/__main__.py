"""The command line: one table from verb to function."""

import _thread
import atexit
import contextlib
import errno
import importlib
import os
import sys
import time
from importlib.metadata import version
from typing import NoReturn

VERBS = {
    "train": ("reluviz.cli.train", "train a model and record how it learns"),
    "view": ("reluviz.cli.view", "show runs in TensorBoard"),
    "export": ("reluviz.analysis.export", "pages, animations, pictures and tables made from runs"),
    "report": ("reluviz.analysis.report", "statistics over many runs: table, findings, pictures, a page"),
    "explain": ("reluviz.cli.explain", "the equations and numbers behind an experiment, without training"),
}

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EROFS)
"""What the system says where there is no room, or no right, to write."""


def main() -> int:
    """Run a verb and return the exit status: 0, or 2 for bad input, 3 for a run that diverged."""
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb in ("--help", "-h", "help"):
        print(usage())
        return 0
    if verb in ("--version", "-V"):
        print(f"reluviz {version('reluviz')}")
        return 0
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, [*VERBS, "--help", "--version"], 1)
        guess = f"; did you mean {near[0]}?" if near else ""
        print(f"reluviz: {verb}: must be one of {', '.join(VERBS)}{guess}", file=sys.stderr)
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
        # the reader has gone, as in: explain | head; nor can Python's own last flush reach it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in FULL or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        # what is written says where, but not always what
        print(f"reluviz: {error.filename or 'a file'}: cannot be written to ({error.strerror})", file=sys.stderr)
        return 2
    except MemoryError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"reluviz: not enough memory ({' '.join(str(error).split())})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("reluviz: interrupted", file=sys.stderr)
        return 130


def usage() -> str:
    """Return the help text."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {purpose}" for verb, (_, purpose) in VERBS.items())
    return f"""usage: python -m reluviz VERB ...

Watch how gradient descent learns: votes, slopes and elbows, in TensorBoard.

{verbs}

start here:
  python -m reluviz explain +exp=linear    who votes for what, and how hard
  python -m reluviz train +exp=relu        train the course's ReLU network
  python -m reluviz view                   look at it
  python -m reluviz train --help           experiments, choices and keys

options:
  --version  print the version
  --help     print this"""


def process() -> NoReturn:
    """Run as a process of its own: `main`, imports of what is used alone, and an end without tidying up (0.3 s)."""
    status: list[int] = []

    def leave() -> None:
        if status:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(status[0])

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115

    def interrupt() -> None:
        time.sleep(0.01)
        _thread.interrupt_main()

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(what)
        elif not status:
            # Ctrl-C while Python tidied up an object, where nobody can catch it: once more, for those who can; a little
            # later, since it would be raised here otherwise
            _thread.start_new_thread(interrupt, ())

    sys.unraisablehook = ignored
    # the first to be registered is the last to be called
    atexit.register(leave)
    if sys.argv[1:2] and sys.argv[1] in VERBS:
        from reluviz.cli.lazy_imports import postpone

        postpone()
    status.append(main())
    sys.exit(status[0])


if __name__ == "__main__":
    process()
