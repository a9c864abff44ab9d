"""What the tuner, the fork server and the children tell each other, and how it crosses a socket.

Every message is a tagged msgspec struct in MessagePack behind a four-byte length. Nothing is pickled:
a child is not trusted. File descriptors travel beside the message that announces them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque

import msgspec

from tuner.measure.base import Verdict

_LENGTH = struct.Struct("!I")
_LARGEST_BYTES = 256 << 20


class Fork(msgspec.Struct, tag=True, frozen=True):
    """Tuner to a server: fork a process and hand it the two descriptors that come along.

    Attributes:
        token: The tuner's number for the new process.
        role: ``task`` (from the root server) or ``plan``, ``reference``, ``canary`` (from a task server).
        payload: The role's own message, encoded.
        descriptors: How many descriptors come along: the new process's socket, its log, maybe more.
    """

    token: int
    role: str
    payload: bytes
    descriptors: int = 2


class Reap(msgspec.Struct, tag=True, frozen=True):
    """Tuner to a server: the exit of this process was noted; collect it and everything it left behind."""

    token: int


class Forked(msgspec.Struct, tag=True, frozen=True):
    """Server to tuner: the process runs."""

    token: int
    pid: int


class Exited(msgspec.Struct, tag=True, frozen=True):
    """Server to tuner: the process ended; it stays a zombie until :class:`Reap`."""

    token: int
    status: int
    signal: int


class OpenTask(msgspec.Struct, tag=True, frozen=True):
    """Payload of the role ``task``: everything a task server prepares once.

    Attributes:
        program: JSON text of the untuned function.
        target: JSON text of the target.
        name: Readable name.
        threads: Threads a kernel may use.
        entry: ``module:function`` that prepares the task.
        memory_bytes: Memory limit of a child beyond what it inherits.
        seed: Seed of the inputs.
        is_positive: Whether inputs are drawn positive.
        remote: ``host:port/key`` of a tracker whose devices run the kernels; empty for this machine.
        linker: The compiler driver that links libraries for remote devices.
        rules: ``file.py:NAME`` of a user's own sketch rules; empty for none.
    """

    program: str
    target: str
    name: str
    threads: int
    entry: str
    memory_bytes: int
    seed: int
    is_positive: bool
    remote: str = ""
    linker: str = ""
    rules: str = ""


class TaskReady(msgspec.Struct, tag=True, frozen=True):
    """Task server to tuner: buffers and inputs are there, so the reference outputs may be computed.

    Attributes:
        output_bytes: Bytes of all outputs of one input set.
        reduction: Length of the reduction behind one output element.
        is_device: Whether kernels run on a device of this machine.
        reference_seconds: About how long one run of the reference program takes on this CPU.
    """

    output_bytes: int
    reduction: float
    is_device: bool = False
    reference_seconds: float = 0.0


class Prepared(msgspec.Struct, tag=True, frozen=True):
    """Task server to tuner: what plans are built from is there too."""


class BuildPlan(msgspec.Struct, tag=True, frozen=True):
    """Payload of the role ``plan``.

    Attributes:
        plan: The plan as JSON text.
        library: For a remote device, the path to which its library is written.
    """

    plan: str
    library: str = ""


class BuildReference(msgspec.Struct, tag=True, frozen=True):
    """Payload of the role ``reference``: compute reference outputs.

    Attributes:
        kind: ``reordered``, ``untuned``, ``partial sums`` (reordered, the longest sums in two steps), or
            ``device`` (the untuned program on the device).
        budget_seconds: Stop after the first input set that ends beyond this.
    """

    kind: str
    budget_seconds: float


class BuildCanary(msgspec.Struct, tag=True, frozen=True):
    """Payload of the role ``canary``.

    Attributes:
        target: JSON text of the target.
        threads: Threads of the canary kernel.
    """

    target: str
    threads: int


class OwnDevice(msgspec.Struct, tag=True, frozen=True):
    """Payload of the role ``device``: own the device of a task and run what was built for it.

    Attributes:
        settle_seconds: Longest warm-up until the clocks hold still; 0 for none.
    """

    settle_seconds: float


class DeviceReady(msgspec.Struct, tag=True, frozen=True):
    """Device process to tuner: the device answers and the task's buffers are on it."""

    name: str


class Built(msgspec.Struct, tag=True, frozen=True):
    """Child to tuner: compiled and loaded.

    Attributes:
        stages: Seconds by stage.
        trace: TVM trace of the schedule as JSON text.
        base: The rewritten program that the trace starts from.
        code: What was built for a device (:mod:`tuner.measure.cuda.code`); the child ends then.
        facts: What the compiler reported, by name.
    """

    stages: dict[str, float]
    trace: str | None = None
    base: str | None = None
    code: bytes = b""
    facts: dict[str, float] = {}


class Fault(msgspec.Struct, tag=True, frozen=True):
    """Child or server to tuner: it did not work."""

    stage: str
    message: str


class First(msgspec.Struct, tag=True, frozen=True):
    """Tuner to child: call the kernel for the first time, once."""


class Attach(msgspec.Struct, tag=True, frozen=True):
    """Tuner to child: load what is to be run on a device.

    Attributes:
        libraries: Libraries that a remote device gets besides the child's own.
        codes: What the process that owns a device runs from now on.
    """

    libraries: list[str] = []
    codes: list[bytes] = []


class Repeat(msgspec.Struct, tag=True, frozen=True):
    """Tuner to child: time ``repeats`` repeats of ``number`` calls each.

    ``which`` counts what a device holds, 0 first; -1 is the canary. ``warm`` calls are made before the clock
    starts, on this machine's CPU only.
    """

    number: int
    repeats: int
    is_flushed: bool = False
    which: int = 0
    warm: int = 0


class Ran(msgspec.Struct, tag=True, frozen=True):
    """Child to tuner: seconds per call of each repeat."""

    seconds: list[float]


class Check(msgspec.Struct, tag=True, frozen=True):
    """Tuner to child: compare outputs on these input sets; for ``random`` alone the present outputs."""

    sets: list[str]


class Checked(msgspec.Struct, tag=True, frozen=True):
    """Child to tuner: the verdict."""

    verdict: Verdict


class Referenced(msgspec.Struct, tag=True, frozen=True):
    """Reference child to tuner: the outputs of these input sets are in the shared memory."""

    sets: list[str]
    has_nan: bool
    seconds: float


class Quit(msgspec.Struct, tag=True, frozen=True):
    """Tuner to any process: end."""


Message = (
    Fork
    | Reap
    | Forked
    | Exited
    | OpenTask
    | TaskReady
    | Prepared
    | BuildPlan
    | BuildReference
    | BuildCanary
    | OwnDevice
    | DeviceReady
    | Built
    | Fault
    | First
    | Attach
    | Repeat
    | Ran
    | Check
    | Checked
    | Referenced
    | Quit
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return a message as bytes without its length."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Read a message back.

    Raises:
        ConnectionError: If the bytes are not a message.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ConnectionError(f"a process sent something that is no message: {error}") from error


class Channel:
    """One end of a stream socket that carries messages.

    Args:
        connection: A connected Unix stream socket; the channel owns it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.descriptors: deque[int] = deque()
        self.is_closed = False
        self._buffer = bytearray()
        self._pending: deque[Message] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, so that selectors accept a channel."""
        return self.connection.fileno()

    def send(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        """Send a message and, beside it, file descriptors.

        Raises:
            OSError: If the other side is gone.
        """
        data = _encoder.encode(message)
        data = _LENGTH.pack(len(data)) + data
        if descriptors:
            sent = socket.send_fds(self.connection, [data], list(descriptors))
            data = data[sent:]
        if data:
            self.connection.sendall(data)

    def receive(self) -> list[Message]:
        """Read once and return the messages that are complete; an end of file sets ``is_closed``.

        Raises:
            ConnectionError: If the other side sent nonsense.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self.connection, 1 << 16, 16)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            self.is_closed = True
            return []
        self.descriptors.extend(descriptors)
        if not data:
            self.is_closed = True
        self._buffer += data
        messages: list[Message] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > _LARGEST_BYTES:
                raise ConnectionError(f"a process announced a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(decode(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return messages

    def wait(self) -> Message:
        """Block until one message is complete; for servers and children, which have one peer.

        Raises:
            EOFError: If the other side is gone.
        """
        while not self._pending:
            if self.is_closed:
                raise EOFError("the other side closed the connection")
            self._pending.extend(self.receive())
        return self._pending.popleft()

    def close(self) -> None:
        """Close the socket and every descriptor that was received and not taken."""
        self.is_closed = True
        self.connection.close()
        while self.descriptors:
            os.close(self.descriptors.popleft())
