"""A TCP proxy that disturbs the traffic between a worker and Twilio, by a seed.

`tc netem` would need the kernel's help; this needs only a port. Each request draws its fate once. Anything forwarded is
forwarded within `LATEST`: settling must take longer than any request can live (sending rule 5, promise 2), and with a
network that delivers a request a minute later no promise can be kept.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from random import Random

LATEST = 0.4  # seconds a request may be in progress
DRIP = 0.02  # seconds a byte
FATES = (
    "delay",  # forwarded late
    "reset before",  # accepted, not forwarded, and the connection reset
    "reset after",  # forwarded, and the connection reset before the answer is out
    "half-close",  # forwarded, and our side ends in peace without an answer
    "drip",  # forwarded; the answer comes a byte at a time
    "blackhole",  # forwarded; the answer never comes
    "swallowed",  # never forwarded, and never answered
)


class Proxy:
    """Listens on `port` of loopback and forwards to `target`; each request meets a fate with probability `chance`.

    It is a separate thread. `chance` may be changed while it runs; `met` counts.
    """

    def __init__(self, target: int, *, seed: int, chance: float) -> None:
        self.chance = chance
        self.met: Counter[str] = Counter()
        self._target = target
        self._random = Random(seed)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        """Drop every connection and end. Safe to repeat."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._passing: set[asyncio.Task] = set()
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
        else:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._talk(reader, writer, *there)
            for end in (writer, there[1]):
                end.close()
        finally:
            self._passing.discard(task)

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        requests: asyncio.StreamWriter,
    ) -> None:
        """One connection, both ways, until one of them ends. The proxy does not look at the content."""
        fates = [""]
        ways = {
            asyncio.create_task(self._there(reader, writer, requests, fates)),
            asyncio.create_task(_back(answers, writer, fates)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: asyncio.StreamWriter, fates: list
    ) -> None:
        while request := await reader.read(1 << 16):
            fate = self._random.choice(FATES) if self._random.random() < self.chance else ""
            fates[:] = [fate]
            if fate:
                self.met[fate] += 1
            if fate == "delay":
                await asyncio.sleep(self._random.uniform(LATEST / 8, LATEST))
            elif fate == "reset before":
                _reset(writer)
                return
            elif fate == "swallowed":
                await reader.read()  # until the other side has had enough
                return
            requests.write(request)


async def _back(answers: asyncio.StreamReader, writer: asyncio.StreamWriter, fates: list) -> None:
    while answer := await answers.read(1 << 16):
        match fates[0]:
            case "reset after":
                _reset(writer)
                return
            case "half-close":
                writer.write_eof()
                await asyncio.sleep(2 * LATEST)
                return
            case "blackhole":
                continue
            case "drip":
                for place in range(len(answer)):
                    writer.write(answer[place : place + 1])
                    await asyncio.sleep(DRIP)
            case _:
                writer.write(answer)


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
