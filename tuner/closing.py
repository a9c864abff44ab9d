"""What owns processes or files, and is closed by a ``with`` statement."""

from __future__ import annotations

from typing import Self


class Closing:
    """Base of classes that have a ``close()``: leaving a ``with`` block calls it."""

    def close(self) -> None:
        """End and release everything that this object owns; calling it twice is harmless."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the object, whatever ended the block."""
        self.close()
