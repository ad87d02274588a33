"""A stand-in for Twilio's side of the wire, as fast as possible: it accepts every text and answers 201 with a new sid.

`python stand_in.py '{"core": 0, "latency_ms": 0}'` prints its port. Any GET tells how many texts it has taken since the
last one, and how many of them went to a number that had had one: a benchmark texts each number once.
"""

import asyncio
import json
import os
import re
import sys

import httptools
from turn import pin, say

_TO = re.compile(rb"(?:^|&)To=([^&]*)")
_ACCOUNT = "AC" + "0" * 32
_CREATED = (
    '{"account_sid":"%(account)s","api_version":"2010-04-01","body":"","date_created":'
    '"Mon, 30 Nov 2026 15:00:00 +0000","date_sent":null,"date_updated":"Mon, 30 Nov 2026 15:00:00 +0000",'
    '"direction":"outbound-api","error_code":null,"error_message":null,"from":"+15005550006",'
    '"messaging_service_sid":null,"num_media":"0","num_segments":"1","price":null,"price_unit":"USD",'
    '"sid":"%(sid)s","status":"queued","subresource_uris":{"media":'
    '"/2010-04-01/Accounts/%(account)s/Messages/%(sid)s/Media.json"},"to":"+12025550100",'
    '"uri":"/2010-04-01/Accounts/%(account)s/Messages/%(sid)s.json"}'
)


class StandIn:
    """The texts accepted so far."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.taken = 0
        self.again = 0
        self.seen: set[bytes] = set()
        self.epoch = os.urandom(4).hex()

    def take(self, form: bytes) -> bytes:
        """Accept one text, given as a form; return the answer's body."""
        self.taken += 1
        (number,) = _TO.findall(form)
        self.again += number in self.seen
        self.seen.add(number)
        return (_CREATED % {"account": _ACCOUNT, "sid": f"SM{self.epoch}{self.taken:024x}"}).encode()


class Connection(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in

    def connection_made(self, transport):
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_begin(self):
        self.form = b""

    def on_url(self, url):
        self.url = url

    def on_body(self, body):
        self.form += body

    def on_message_complete(self):
        if self.parser.get_method() == b"POST" and self.url.endswith(b"/Messages.json"):
            body, latency = self.stand_in.take(self.form), self.stand_in.latency
            answer = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        else:
            counted = {"taken": self.stand_in.taken, "again": self.stand_in.again}
            body, latency = json.dumps(counted).encode(), 0
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            self.stand_in.taken, self.stand_in.again = 0, 0
            self.stand_in.seen.clear()
        answer %= (len(body), body)
        if latency:
            asyncio.get_running_loop().call_later(latency, self.transport.write, answer)
        else:
            self.transport.write(answer)


async def main(config: dict) -> None:
    stand_in = StandIn(config["latency_ms"] / 1000)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(stand_in), "127.0.0.1", 0, backlog=1024)
    say(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    pin(settings["core"])
    asyncio.run(main(settings))
