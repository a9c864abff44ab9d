"""One line of an exception: compilers put a backtrace around it, others explain below it."""

from __future__ import annotations

_MOST = 500


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message that is not blank; its type where there is none."""
    return _lines(error)[0]


def last_line(error: BaseException) -> str:
    """Return the last such line, which is TVM's own message."""
    return _lines(error)[-1]


def described(error: BaseException) -> str:
    """Return an exception's type and the last line of its message."""
    name, line = type(error).__name__, last_line(error)
    return name if line == name else f"{name}: {line}"


def _lines(error: BaseException) -> list[str]:
    lines = (line.strip() for line in str(error).splitlines())
    return [line[:_MOST] for line in lines if line] or [type(error).__name__]
