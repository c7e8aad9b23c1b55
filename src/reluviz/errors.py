"""The two ways in which a run ends badly on purpose, and their exit statuses."""


class UserError(ValueError):
    """Bad input: one line that names the key, the value and what would be right. Exit status 2."""

    status = 2


class Diverged(ArithmeticError):
    """The training left every bound. Exit status 3."""

    status = 3
