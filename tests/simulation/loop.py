"""An event loop with a number as its time: nothing waits, nothing runs in parallel, and the next due event comes next.

Database work for an executor runs here, after a pause that the seed chooses, so workers take turns between transactions
in every order. Each task belongs to the simulated process that began it, and ends with it.
"""

import asyncio
import math
from collections.abc import Callable
from contextvars import ContextVar

MOST_TURNS = 500  # a job with that many is in an endless loop

WHOSE: ContextVar = ContextVar("whose process this runs in", default=None)


class Died(BaseException):
    """The simulated process of this task is dead: none of its code continues, whatever it catches."""


class _NoSockets:
    """Replaces a selector: waiting moves the time."""

    def __init__(self, loop: "Loop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list:
        assert timeout is not None, "everything waits for something that will never happen"
        self._loop.seconds += timeout
        return []

    def close(self) -> None:
        """Nothing is open."""


class Loop(asyncio.BaseEventLoop):
    """Virtual time in `seconds` from 0. `pause` is how long a process waits for its turn at the database."""

    def __init__(self, pause: Callable[[], float]) -> None:
        super().__init__()
        self.seconds = 0.0
        self._pause = pause
        self._selector = _NoSockets(self)
        self.set_task_factory(_begin)
        self.broken: list[BaseException] = []
        self._turns_left = math.inf  # at the database, while a job is waited for
        self.set_exception_handler(self._note)

    def time(self) -> float:
        return self.seconds

    def _process_events(self, event_list) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """Do nothing: there is no other thread that could wake it."""

    def _note(self, _, context) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, Died):
            self.broken.append(error)

    def run_in_executor(self, executor, func, *args):
        done = self.create_future()
        self.call_later(self._pause(), self._work, done, func, args)
        return done

    def _work(self, done, func, args) -> None:
        if done.done():  # its process died while it waited
            return
        self._turns_left -= 1
        if self._turns_left < 0:
            self.stop()
            return
        process = WHOSE.get()
        if process is not None and process.hangs_until > self.seconds:
            self.call_later(process.hangs_until - self.seconds, self._work, done, func, args)
            return
        try:
            result = func(*args)
        except Died:
            done.cancel()
        except Exception as error:  # ruff: ignore[blind-except]  it is whoever asked who takes it
            done.set_exception(error)
        else:
            if process is not None and process.will_hang:
                process.hangs_until, process.will_hang = self.seconds + process.will_hang, 0.0
                self.call_later(process.hangs_until - self.seconds, _set, done, result)
            else:
                done.set_result(result)

    def pass_time(self, seconds: float) -> None:
        """Let everything due within that many seconds happen."""
        self.run_until_complete(asyncio.sleep(seconds))

    def finish(self, task: asyncio.Future, at_most: float) -> bool:
        """Let time pass until `task` is done, the time is over, or `MOST_TURNS` are; returns whether it is done."""
        ends = self.call_later(at_most, lambda: None)
        self._turns_left = MOST_TURNS
        try:
            self.run_until_complete(asyncio.wait([task], timeout=at_most))
        except RuntimeError:
            if self._turns_left >= 0:
                raise
        self._turns_left = math.inf
        ends.cancel()
        return task.done()


def _set(done, result) -> None:
    if not done.done():
        done.set_result(result)


def _begin(loop, work, **more):
    task = asyncio.Task(work, loop=loop, **more)
    process = WHOSE.get()
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(lambda done: process.tasks.pop(done, None))
    return task
