"""A small HTTP server on loopback that answers, or does not, exactly as a test wants. Bytes in, bytes out."""

import asyncio
import json
import socket
import struct
from dataclasses import dataclass
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Arrived:
    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, list[str]]
    connection: int


def reply(status: int, body: bytes | str | dict | list, *, header: str = "", length: int | None = None) -> bytes:
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    size = len(content) if length is None else length
    return f"HTTP/1.1 {status} Word\r\nContent-Length: {size}\r\n{header}\r\n".encode() + content


def close(connection):
    connection.transport.close()


def reset(connection):
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


def hang(connection):
    pass


def write_and_close(data):
    def act(connection):
        connection.transport.write(data)
        connection.transport.close()

    return act


def drip(data, seconds):
    def act(connection, rest=data):
        if rest and not connection.transport.is_closing():
            connection.transport.write(rest[:1])
            asyncio.get_running_loop().call_later(seconds, act, connection, rest[1:])

    return act


class _Connection(asyncio.Protocol):
    def __init__(self, server):
        self.server = server
        self.read = b""

    def connection_made(self, transport):
        self.transport = transport
        self.server.connections.append(self)
        self.number = len(self.server.connections)

    def data_received(self, data):
        self.read += data
        while b"\r\n\r\n" in self.read:
            head, _, rest = self.read.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self.read = rest[length:]
            method, path, _ = first.split(" ")
            form = parse_qs(rest[:length].decode(), keep_blank_values=True)
            self.server.arrived.append(Arrived(method, path, headers, form, self.number))
            self.server.reached.set()
            act = self.server.acts.pop(0) if len(self.server.acts) > 1 else self.server.acts[0]
            if isinstance(act, bytes):
                self.transport.write(act)
            else:
                act(self)


class FaultServer:
    """Performs its acts one request after another, and repeats the last; a function gets the connection."""

    def __init__(self, *acts, ssl=None):
        self.acts = list(acts) or [reply(201, {})]
        self.arrived: list[Arrived] = []
        self.connections: list[_Connection] = []
        self.reached = asyncio.Event()
        self._ssl = ssl

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for connection in self.connections:
            connection.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    @property
    def posts(self):
        return [one for one in self.arrived if one.method == "POST"]


def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
