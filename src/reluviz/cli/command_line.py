"""The train verb's command line: flags may stand anywhere, overrides are Hydra's."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from reluviz.errors import UserError

FLAGS = {
    "-m": 0,
    "--multirun": 0,
    "--run": 0,
    "-r": 0,
    "--cfg": 1,
    "-c": 1,
    "--info": 0,
    "-i": 0,
    "--package": 1,
    "-p": 1,
    "--resolve": 0,
    "--help": 0,
    "-h": 0,
    "--hydra-help": 0,
    "--version": 0,
    "--shell-completion": 0,
    "-sc": 0,
    "--config-dir": 1,
    "-cd": 1,
    "--experimental-rerun": 1,
}
"""Hydra's flags and how many values each takes."""
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
CFG = ("job", "hydra", "all")
TELLING = {"--cfg", "-c", "--info", "-i", "--help", "-h", "--hydra-help", "--version", "--shell-completion", "-sc"}


@dataclass(frozen=True)
class CommandLine:
    """A command line in two parts.

    Attributes:
        flags: Hydra's flags and their values.
        overrides: everything else.
    """

    flags: list[str]
    overrides: list[str]

    @property
    def multirun(self) -> bool:
        """Whether several runs are asked for."""
        return "-m" in self.flags or "--multirun" in self.flags

    @property
    def tells(self) -> bool:
        """Whether something is only to be printed, and nothing trained."""
        return any(flag.partition("=")[0] in TELLING for flag in self.flags)


def split(argv: Sequence[str]) -> CommandLine:
    """Sort flags from overrides. (Hydra's own parser takes no flag between two overrides.)

    Raises:
        UserError: for a flag that does not exist, or lacks its value.
    """
    flags: list[str] = []
    overrides: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        flag = word.partition("=")[0]
        if not word.startswith("-") or word == "-":
            overrides.append(word)
            continue
        if flag not in FLAGS:
            near = difflib.get_close_matches(flag, list(FLAGS), 1, 0.5)
            raise UserError(f"{word}: there is no such option{f'; did you mean {near[0]}?' if near else ''}")
        flags.append(word)
        if flag in ("--info", "-i") and "=" in word and word.partition("=")[2] not in INFO:
            raise UserError(f"{word}: must be one of {', '.join(INFO)}")
        if flag in ("--info", "-i") and "=" not in word:
            # its value is optional, and must not swallow an override
            flags.append(words.pop(0) if words and words[0] in INFO else "all")
        elif FLAGS[flag] and "=" not in word:
            if not words:
                raise UserError(f"{word}: needs a value")
            flags.append(words.pop(0))
        if flag in ("--cfg", "-c") and (what := flags[-1].rpartition("=")[2]) not in CFG:
            raise UserError(f"{flag} {what}: must be one of {', '.join(CFG)}")
    return CommandLine(flags, overrides)
