"""What goes wrong with records, as values and as exceptions."""

from __future__ import annotations

import re
from dataclasses import dataclass


class RecordError(ValueError):
    """Base of every error of this package: one line with what, where, the value and the remedy."""


class InvalidLine(RecordError):
    """A line cannot be read or written; the message names the field."""


class NewerLog(RecordError):
    """The log was written by a newer program; it is left untouched."""


class NotALog(RecordError):
    """The file holds something else; it is left untouched."""


class StoreError(RecordError):
    """The store cannot be opened or written (permission, full disk, lost connection)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was skipped or repaired while a log was read.

    Attributes:
        where: File or URL; empty where the message names it.
        line: Line number from 1; 0 where there is none.
        message: What was found and what was done about it.
    """

    where: str
    line: int
    message: str

    def __str__(self) -> str:
        if not self.where:
            return self.message
        return f"{self.where}:{self.line}: {self.message}" if self.line else f"{self.where}: {self.message}"


def without_password(where: str) -> str:
    """Return an address with its password, if it has one, replaced by stars."""
    hidden = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", where)
    return re.sub(r"([?&](?:password|passwd)=)[^&]*", r"\1***", hidden)
