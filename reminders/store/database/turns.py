"""Whose turn it is to write to an SQLite database, which has one write lock.

SQLite makes a waiter look again after longer and longer naps, up to a tenth of a second, and one that asks at the right
moment takes the lock: on a busy service a crisis webhook was passed over for seconds. Here the threads of one process
queue in the order in which they came, and only the first of them looks for the lock, every few milliseconds.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

_FIRST_NAP, _LONGEST_NAP = 0.0005, 0.004  # seconds


class Turns:
    """The queue of one process's writers."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()  # each is locked until its turn has come

    @contextmanager
    def take(self, patience: float) -> Generator[None]:
        """Wait for a turn, at most `patience` seconds, and hold it. Raises TimeoutError."""
        self._wait(patience)
        try:
            yield
        finally:
            self._pass_on()

    def _wait(self, patience: float) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        came = False
        try:
            came = mine.acquire(timeout=patience)
        finally:
            if not came and not self._has_left(mine):
                self._pass_on()  # it came at the very moment of leaving
        if not came:
            raise TimeoutError

    def _has_left(self, mine: threading.Lock) -> bool:
        with self._guard:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return True
            return False

    def _pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


def until_free(begin: Callable[[], object], is_taken: Callable[[Exception], bool], patience: float) -> None:
    """Run `begin` until the lock is free, for at most `patience` seconds. Raises what `begin` raises."""
    over = time.monotonic() + patience
    nap = _FIRST_NAP
    while True:
        try:
            begin()
        except Exception as error:
            if not is_taken(error) or time.monotonic() >= over:
                raise
        else:
            return
        time.sleep(nap)
        nap = min(nap * 2, _LONGEST_NAP)
