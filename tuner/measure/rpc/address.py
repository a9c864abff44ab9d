"""The address of remote devices, ``rpc://host:port/key``, and what their tracker says of them."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass
from urllib.parse import urlsplit

from tuner.errors import JobFailed, UserError

_TRACKER_MAGIC = 0x2F271
_SUMMARY = 6
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RpcAddress:
    """Devices of one kind behind a tracker.

    Attributes:
        host: Host of the tracker.
        port: Port of the tracker.
        key: The key under which the devices registered.
    """

    host: str
    port: int
    key: str

    @classmethod
    def parse(cls, text: str) -> RpcAddress:
        """Read ``rpc://host:port/key``.

        Raises:
            UserError: If the text has another form.
        """
        parts = urlsplit(text)
        key = parts.path.strip("/")
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme != "rpc" or not parts.hostname or port is None or not key:
            raise UserError(f"remote devices {text!r}: use rpc://host:port/key")
        return cls(parts.hostname, port, key)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.key}"

    def devices(self) -> int:
        """Ask the tracker how many devices are registered under the key.

        Raises:
            JobFailed: If the tracker does not answer.
        """
        try:
            with socket.create_connection((self.host, self.port), _TIMEOUT_SECONDS) as connection:
                connection.sendall(struct.pack("<i", _TRACKER_MAGIC))
                if struct.unpack("<i", _exactly(connection, 4))[0] != _TRACKER_MAGIC:
                    raise JobFailed(f"{self.host}:{self.port} is not an RPC tracker of this TVM version")
                request = json.dumps([_SUMMARY]).encode()
                connection.sendall(struct.pack("<i", len(request)) + request)
                (length,) = struct.unpack("<i", _exactly(connection, 4))
                answer = json.loads(_exactly(connection, length))
        except (OSError, ValueError) as error:
            raise JobFailed(
                f"the RPC tracker {self.host}:{self.port} does not answer ({error}): is it running? "
                "Start it with python -m tvm.exec.rpc_tracker"
            ) from error
        servers = answer[1].get("server_info", [])
        return sum(str(server.get("key", "")) == f"server:{self.key}" for server in servers)


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise OSError("the connection was closed")
        data += piece
    return data
