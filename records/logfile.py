"""An append-only file of lines, shared by processes through ``flock``."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from records.encoding import decode_line, one_line
from records.errors import InvalidLine, NotALog, Problem, StoreError
from records.schema import MAX_LINE_BYTES

LINE_START = b'{"type":"'
"""How every line that this program writes begins."""

_CHUNK_BYTES = 1 << 20

_FOREIGN = "it looks like another tuner's database: bring it in with 'tirtune records import'"
_COMPRESSED = "it is compressed: unpack it first"
_HINTS = {
    b"[": _FOREIGN,
    b'{"i"': _FOREIGN,
    b"\x1f\x8b": _COMPRESSED,
    b"\x28\xb5\x2f\xfd": _COMPRESSED,
    b"BZh": _COMPRESSED,
    b"\xfd7zXZ": _COMPRESSED,
    b"PK\x03\x04": _COMPRESSED,
    b"SQLite format 3": "it is an SQLite database: name it sqlite:///PATH, or end its name in .db",
    b"\xff\xfe": "it is text in UTF-16: convert it to UTF-8",
}
_HINT = "name a tirtune log or a new file"


class LogFile:
    """The bytes of one log: locking, appending with rollback, repairing the tail, reading lines.

    Not safe for several threads at once; its store holds a lock.
    """

    def __init__(self, path: Path, *, read_only: bool, create: bool) -> None:
        """Open the file.

        Raises:
            StoreError: If it cannot be opened.
        """
        self.path = path
        self.read_only = read_only
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0)
        try:
            is_new = not path.exists()
            # Opening a pipe to read would otherwise wait for its writer.
            self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
            if os.fstat(self._descriptor).st_mode & 0o170000 != 0o100000:
                os.close(self._descriptor)
                raise StoreError(f"cannot open log {path}: not a regular file; name a file")
            if is_new and not read_only:
                _sync_directory(path.parent)
        except OSError as error:
            remedy = "correct the path" if read_only and error.errno == errno.ENOENT else _remedy(error)
            raise StoreError(f"cannot open log {path}: {error.strerror}; {remedy}") from error
        self._process = os.getpid()
        self._is_open = True

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._is_open:
            self._is_open = False
            os.close(self._descriptor)

    def append(self, data: bytes) -> list[Problem]:
        """Write and sync some whole lines, all or nothing.

        Returns:
            What was repaired first, because another writer had died in mid-line.

        Raises:
            StoreError: If the data could not be written; the file is as before.
        """
        self._check_usable()
        if self.read_only:
            raise StoreError(f"log {self.path} is open for reading only: open it for writing to append")
        with self._locked(fcntl.LOCK_EX):
            self._check_same_file()
            size = -1
            try:
                problems = self._repair_tail()
                size = os.fstat(self._descriptor).st_size
                written = 0
                while written < len(data):
                    written += os.write(self._descriptor, memoryview(data)[written:])
                os.fsync(self._descriptor)
            except OSError as error:
                outcome = "nothing was written" if size < 0 else self._take_back(size)
                raise StoreError(
                    f"cannot write log {self.path}: {error.strerror}; {outcome}; {_remedy(error)}"
                ) from error
        return problems

    def peek(self) -> tuple[int, bytes]:
        """Return the size that is made of whole lines and an unfinished tail, changing nothing.

        Raises:
            StoreError: If the file cannot be read.
            NotALog: If it holds no whole line and does not begin like one.
        """
        self._check_usable()
        try:
            with self._locked(fcntl.LOCK_SH):
                size = os.fstat(self._descriptor).st_size
            whole = self._whole_bytes(size)
            self._check_first_bytes(whole, size)
            return whole, self.read(whole, min(size - whole, MAX_LINE_BYTES + 1))
        except OSError as error:
            raise StoreError(f"cannot read log {self.path}: {error.strerror}; {_remedy(error)}") from error

    def settle(self) -> tuple[int, bytes, list[Problem]]:
        """Find where the whole lines end, repairing the tail when the file may be written.

        Returns:
            What :meth:`peek` returns, the tail empty where it was repaired, and what was repaired.

        Raises:
            StoreError: If the file cannot be read or repaired.
            NotALog: If it holds no whole line and does not begin like one.
        """
        if self.read_only:
            return (*self.peek(), [])
        self._check_usable()
        try:
            with self._locked(fcntl.LOCK_EX):
                problems = self._repair_tail()
                return os.fstat(self._descriptor).st_size, b"", problems
        except OSError as error:
            raise StoreError(f"cannot repair log {self.path}: {error.strerror}; {_remedy(error)}") from error

    def read(self, offset: int, length: int) -> bytes:
        """Return some bytes; fewer where the file ends."""
        self._check_usable()
        parts = []
        while length > 0:
            part = os.pread(self._descriptor, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def lines(self, start: int, end: int) -> Iterator[tuple[int, int, bytes | None]]:
        """Yield offset, length and bytes of each line between two line starts, without line feeds.

        A line that is too long comes with ``None`` for its bytes; memory stays bounded.
        """
        rest, rest_offset, dropped = b"", start, 0
        for offset in range(start, end, _CHUNK_BYTES):
            pieces = self.read(offset, min(_CHUNK_BYTES, end - offset)).split(b"\n")
            if len(pieces) > 1:
                length = dropped + len(rest) + len(pieces[0])
                yield rest_offset, length, None if dropped else rest + pieces[0]
                rest_offset += length + 1
                for piece in pieces[1:-1]:
                    yield rest_offset, len(piece), piece
                    rest_offset += len(piece) + 1
                rest, dropped = pieces[-1], 0
            else:
                rest += pieces[0]
            if len(rest) > MAX_LINE_BYTES:
                rest, dropped = b"", dropped + len(rest)

    @contextlib.contextmanager
    def _locked(self, mode: int) -> Iterator[None]:
        try:
            fcntl.flock(self._descriptor, mode)
        except OSError as error:
            raise StoreError(
                f"cannot lock log {self.path}: {error.strerror}; keep logs on a file system with flock"
            ) from error
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _check_usable(self) -> None:
        if not self._is_open:
            raise StoreError(f"log {self.path} is closed: open it again")
        if os.getpid() != self._process:
            raise StoreError(f"log {self.path} was opened before a fork: open it again in the child")

    def _check_same_file(self) -> None:
        here = os.fstat(self._descriptor)
        try:
            there = self.path.stat()
        except OSError as error:
            raise StoreError(
                f"cannot write log {self.path}: it was removed or moved while in use; open it again"
            ) from error
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            raise StoreError(f"cannot write log {self.path}: another file has taken its place; open it again")

    def _repair_tail(self) -> list[Problem]:
        """End the file with a whole line: finish a valid last line, take a torn one back."""
        size = os.fstat(self._descriptor).st_size
        if size == 0 or os.pread(self._descriptor, 1, size - 1) == b"\n":
            return []
        whole = self._whole_bytes(size)
        self._check_first_bytes(whole, size)
        tail = self.read(whole, min(size - whole, MAX_LINE_BYTES + 1))
        try:
            decode_line(tail)
        except InvalidLine as error:
            os.ftruncate(self._descriptor, whole)
            os.fsync(self._descriptor)
            message = f"took back an unfinished last line of {size - whole} bytes ({one_line(error)})"
        else:
            os.write(self._descriptor, b"\n")
            os.fsync(self._descriptor)
            message = "ended the last line, which lacked its line feed"
        return [Problem(str(self.path), 0, message)]

    def _whole_bytes(self, size: int) -> int:
        """Return where the last line feed before ``size`` ends, 0 where there is none."""
        end = size
        while end > 0:
            start = max(0, end - (64 << 10))
            found = self.read(start, end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0

    def _check_first_bytes(self, whole: int, size: int) -> None:
        first = self.read(0, 40)
        if whole == 0 and size > 0 and not LINE_START.startswith(first[: len(LINE_START)]):
            raise NotALog(not_a_log(self.path, first))

    def _take_back(self, size: int) -> str:
        try:
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
        except OSError as error:
            return f"the batch could not be taken back ({error.strerror}) and is repaired on the next open"
        return "the batch was taken back and everything before it is safe"


def not_a_log(path: Path, first: bytes) -> str:
    """Return the message for a file that holds something else."""
    hint = next((text for start, text in _HINTS.items() if first.startswith(start)), _HINT)
    return f"{path} is not a tuning log (it begins with {first[:16]!r}): {hint}; the file is left untouched"


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remedy(error: OSError) -> str:
    return {
        errno.ENOENT: "create the folder or correct the path",
        errno.ENOSPC: "free some space and go on with the same log",
        errno.EDQUOT: "free some of your quota and go on with the same log",
        errno.EFBIG: "raise the file size limit or start another log",
        errno.EACCES: "check the permissions",
        errno.EROFS: "the file system is read-only: choose another place",
        errno.EISDIR: "name a file",
        errno.ENOTDIR: "correct the path",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.ELOOP: "correct the link",
    }.get(error.errno or 0, "check the file system")
