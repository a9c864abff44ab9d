"""The errors that end a command with one line instead of a traceback."""

from __future__ import annotations


class TirtuneError(Exception):
    """An expected failure: a one-line message and the exit code of the command.

    Attributes:
        exit_code: What the process returns to its shell.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class UserError(TirtuneError):
    """The caller asked for something impossible: what, where, the value, what to do instead."""

    exit_code = 2


class JobFailed(TirtuneError):
    """The request was fine, the job was not: it failed, or a check did not hold."""

    exit_code = 1
