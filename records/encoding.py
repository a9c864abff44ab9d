"""Between values and bytes: lines of a log, and the compressed texts inside them.

A trace of a tiled matmul is 3-10 KB of JSON; deflated and in base64 it takes a fifth of that, and the
line stays one line of plain ASCII that a person can still read around.
"""

from __future__ import annotations

import base64
import hashlib
import zlib

import msgspec

from records.errors import InvalidLine, NewerLog
from records.migrations import migrate
from records.plans import plain_value
from records.schema import MAX_LINE_BYTES, SCHEMA_VERSION, Line

MAX_TEXT_BYTES = 16 << 20
"""Longest text that :func:`unpack_text` inflates to; guards against compression bombs."""

_PREFIX = "z:"
_SHORTEST_PACKED = 256


class Probe(msgspec.Struct, frozen=True, gc=False):
    """The two fields that every line of every version has."""

    type: str
    schema: int = 0


_ENCODER = msgspec.json.Encoder(enc_hook=plain_value)
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_PROBE = msgspec.json.Decoder(Probe)
_ANY = msgspec.json.Decoder()

DECODE_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)
"""Everything that decoding hostile bytes may raise."""


def encode_line(line: Line) -> bytes:
    """Return a line as JSON bytes, without the line feed.

    Raises:
        InvalidLine: If a value is no JSON, out of its bounds, or the line is too long.
    """
    try:
        data = _ENCODER.encode(line)
        _DECODER.decode(data)
    except (TypeError, NotImplementedError, OverflowError, *DECODE_ERRORS) as error:
        raise InvalidLine(f"cannot store a {type(line).__name__}: {one_line(error)}") from error
    if len(data) > MAX_LINE_BYTES:
        raise InvalidLine(
            f"cannot store a {type(line).__name__} of {len(data)} bytes: the limit is {MAX_LINE_BYTES}"
        )
    return data


def decode_line(data: bytes) -> Line:
    """Read one line, of this schema version or an older one.

    Raises:
        NewerLog: If a newer program wrote it.
        InvalidLine: If it is not valid; the message names the field.
    """
    if len(data) > MAX_LINE_BYTES:
        raise InvalidLine(f"{len(data)} bytes, more than the limit of {MAX_LINE_BYTES}")
    try:
        if probe_version(data) < SCHEMA_VERSION:
            line: Line = msgspec.convert(migrate(_ANY.decode(data)), Line)
            return line
        return _DECODER.decode(data)
    except NewerLog:
        raise
    except (TypeError, KeyError, *DECODE_ERRORS) as error:
        raise InvalidLine(one_line(error)) from error


def line_identity(data: bytes) -> str:
    """Return 32 hexadecimal digits that are equal for equal encoded lines."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def probe_version(data: bytes) -> int:
    """Return the schema version of a line.

    Raises:
        NewerLog: If it is newer than this program.
        msgspec.MsgspecError, ValueError, RecursionError: If it is no line at all.
    """
    version = _PROBE.decode(data).schema
    if version > SCHEMA_VERSION:
        raise NewerLog(
            f"schema version {version} is newer than this program's {SCHEMA_VERSION}: "
            "update tirtune to read or extend this log; the file is left untouched"
        )
    return version


def pack_text(text: str) -> str:
    """Compress a text for a line; short ones stay as they are."""
    if len(text) < _SHORTEST_PACKED and not text.startswith(_PREFIX):
        return text
    return _PREFIX + base64.b64encode(zlib.compress(text.encode(), 6)).decode("ascii")


def unpack_text(packed: str, limit_bytes: int = MAX_TEXT_BYTES) -> str:
    """Undo :func:`pack_text`.

    Raises:
        InvalidLine: If it is damaged or inflates to more than ``limit_bytes``.
    """
    if not packed.startswith(_PREFIX):
        if len(packed) > limit_bytes:
            raise InvalidLine(f"a text is longer than {limit_bytes} bytes")
        return packed
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(base64.b64decode(packed[len(_PREFIX) :], validate=True), limit_bytes)
        text = raw.decode()
    except (ValueError, zlib.error) as error:  # base64 and UTF-8 raise ValueErrors
        raise InvalidLine(f"a compressed text is damaged: {one_line(error)}") from error
    if not inflater.eof:
        raise InvalidLine(f"a compressed text is cut short or inflates to more than {limit_bytes} bytes")
    return text


def clean_text(text: str, limit: int = 4096) -> str:
    """Make any text fit for a record: valid Unicode, at most ``limit`` characters."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
