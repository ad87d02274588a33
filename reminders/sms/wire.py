# As in transport.py:
# mypy: disable-error-code="attr-defined, name-defined"
"""libcurl's transfers on the event loop, through its multi-socket API (libcurl: curl_multi_socket_action).

pycurl has an AsyncCurlMulti that does the same. It adds a reader to the loop for each request, removes it at each
answer and sets a timer both times, which costs a text as much as libcurl itself. Here the loop watches one object, a
selector with libcurl's sockets, and a timer may fire too early.
"""

import asyncio
import selectors
from contextlib import suppress

import pycurl

_WATCHED_FOR = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}
_HAPPENED = {
    selectors.EVENT_READ: pycurl.CSELECT_IN,
    selectors.EVENT_WRITE: pycurl.CSELECT_OUT,
    selectors.EVENT_READ | selectors.EVENT_WRITE: pycurl.CSELECT_IN | pycurl.CSELECT_OUT,
}


class Wire:
    """The transfers in progress, and up to `connections` idle connections kept open.

    It belongs to the event loop of its first transfer.
    """

    def __init__(self, connections: int) -> None:
        self._under_way: dict[pycurl.Curl, asyncio.Future[int]] = {}
        self._sockets = selectors.DefaultSelector()
        self._watched: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._wake)

    async def perform(self, curl: pycurl.Curl) -> int:
        """Make the transfer and return libcurl's error number, 0 for a complete answer.

        When it returns or is canceled, libcurl no longer uses the handle. Raises RuntimeError once closed.
        """
        if self._is_closed:
            raise RuntimeError("the wire is closed")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._sockets.fileno(), self._stirred)
        future: asyncio.Future[int] = self._loop.create_future()
        self._multi.add_handle(curl)
        self._under_way[curl] = future
        try:
            return await future
        finally:
            if self._under_way.pop(curl, None) is not None:
                self._multi.remove_handle(curl)

    def close(self) -> None:
        """Close every connection. A transfer in progress ends with E_GOT_NOTHING."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._end_all(pycurl.E_GOT_NOTHING)
        self._multi.close()
        if self._loop is not None:
            self._loop.remove_reader(self._sockets.fileno())
        self._sockets.close()

    def _watch(self, what: int, socket: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        events = _WATCHED_FOR.get(what, 0)  # for nothing: POLL_NONE, POLL_REMOVE
        if socket not in self._watched:
            if events:
                self._watched.add(socket)
                self._sockets.register(socket, events)
        elif events:
            self._sockets.modify(socket, events)
        else:
            self._watched.remove(socket)
            self._sockets.unregister(socket)

    def _wake(self, milliseconds: int) -> None:
        if milliseconds < 0 or self._is_closed:
            return
        assert self._loop is not None
        at = self._loop.time() + milliseconds / 1000
        # libcurl may be called too early: it then sets the timer again.
        if self._timer is None or at < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(at, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._go_on([(pycurl.SOCKET_TIMEOUT, 0)])

    def _stirred(self) -> None:
        self._go_on([(key.fd, _HAPPENED[events]) for key, events in self._sockets.select(0)])

    def _go_on(self, happened: list[tuple[int, int]]) -> None:
        try:
            for socket, what in happened:
                self._multi.socket_action(socket, what)
            _, done, broken = self._multi.info_read()
        except pycurl.error:  # libcurl cannot go on with any of them
            self._end_all(pycurl.E_RECV_ERROR)
            return
        for curl in done:
            self._end(curl, 0)
        for curl, error, _ in broken:
            self._end(curl, error)

    def _end_all(self, error: int) -> None:
        for curl in list(self._under_way):
            self._end(curl, error)

    def _end(self, curl: pycurl.Curl, error: int) -> None:
        future = self._under_way.pop(curl)
        with suppress(pycurl.error):
            self._multi.remove_handle(curl)
        if not future.done():
            future.set_result(error)
