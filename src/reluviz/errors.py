"""The two errors that end a command with a message instead of a traceback, and their exit statuses."""


class UserError(ValueError):
    """Bad input. The message is one line: the key, its value and what would be valid. Exit status 2."""

    status = 2


class Diverged(ArithmeticError):
    """The training diverged: a parameter is not finite, or a loss exceeds its bound. Exit status 3."""

    status = 3
