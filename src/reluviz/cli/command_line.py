"""Parses the command line of `train`: flags may stand anywhere, all other words are Hydra's overrides."""

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
"""Hydra's flags -> the number of their values."""
EXCLUSIVE_FLAGS = {
    "-m": "--multirun",
    "--multirun": "--multirun",
    "-r": "--run",
    "--run": "--run",
    "-c": "--cfg",
    "--cfg": "--cfg",
    "-i": "--info",
    "--info": "--info",
    "-sc": "--shell-completion",
    "--shell-completion": "--shell-completion",
}
"""Flags that exclude each other -> their long names."""
INFO_VALUES = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
CFG_VALUES = ("job", "hydra", "all")
PRINTING_FLAGS = {
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--shell-completion",
    "-sc",
}


@dataclass(frozen=True)
class CommandLine:
    """A command line, split into two parts.

    Attributes:
        flags: Hydra's flags and their values.
        overrides: all other words.
    """

    flags: list[str]
    overrides: list[str]

    @property
    def multirun(self) -> bool:
        """Return True if there is a flag for several runs."""
        return "-m" in self.flags or "--multirun" in self.flags

    @property
    def prints_only(self) -> bool:
        """Return True if a flag makes Hydra print something and train nothing."""
        return any(flag.partition("=")[0] in PRINTING_FLAGS for flag in self.flags)


def split(argv: Sequence[str]) -> CommandLine:
    """Separate flags from overrides. (Hydra's own parser accepts no flag between two overrides.)

    Raises:
        UserError: for an unknown flag, a missing value, or a wrong value.
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
        if flag in ("--info", "-i") and "=" in word and word.partition("=")[2] not in INFO_VALUES:
            raise UserError(f"{word}: must be one of {', '.join(INFO_VALUES)}")
        if flag in ("--info", "-i") and "=" not in word:
            # the value is optional; an override that follows is not the value
            flags.append(words.pop(0) if words and words[0] in INFO_VALUES else "all")
        elif FLAGS[flag] and "=" not in word:
            if not words:
                raise UserError(f"{word}: needs a value")
            flags.append(words.pop(0))
        if flag in ("--cfg", "-c") and (value := flags[-1].rpartition("=")[2]) not in CFG_VALUES:
            raise UserError(f"{flag} {value}: must be one of {', '.join(CFG_VALUES)}")
    _check_together([flag.partition("=")[0] for flag in flags], flags)
    return CommandLine(flags, overrides)


def _check_together(names: Sequence[str], flags: Sequence[str]) -> None:
    """Refuse flags that Hydra does not take together, or not alone.

    Args:
        names: of the flags.
        flags: with their values.
    """
    exclusive = [name for name in names if name in EXCLUSIVE_FLAGS]
    if len({EXCLUSIVE_FLAGS[name] for name in exclusive}) > 1:
        raise UserError(f"{' '.join(exclusive)}: only one of these can be given")
    if "--resolve" in names and not {"--cfg", "-c", "--help", "-h"} & set(names):
        raise UserError("--resolve: goes with --cfg")
