"""Row ids, made by us before the insert: 63 bits, growing with time, unguessable enough not to collide.

Growing ids keep new rows together on disk (SQLite's claim cost is page locality) and let a whole plan be laid down
without asking the database for ids back.
"""

import secrets
import threading
from datetime import UTC, datetime

_COUNTER_BITS = 22
_COUNTER_SIZE = 1 << _COUNTER_BITS

_lock = threading.Lock()
_millisecond = 0
_counter = secrets.randbelow(_COUNTER_SIZE)


def new_id(now: datetime) -> int:
    """A new row id for `now`.

    Two processes in the same millisecond start at random places of a range of four million; should they ever meet,
    the primary key refuses and the transaction is run again.
    """
    global _millisecond, _counter  # ruff: ignore[global-statement]  one sequence per process is the point
    with _lock:
        _counter = (_counter + 1) % _COUNTER_SIZE
        if _counter == 0:
            _millisecond += 1
        _millisecond = max(_millisecond, int(now.timestamp() * 1000))
        return (_millisecond << _COUNTER_BITS) | _counter


def first_id(at: datetime) -> int:
    """The smallest id that a row made at `at` can have: rows are found by when they were made."""
    return int(at.timestamp() * 1000) << _COUNTER_BITS


def new_ref(now: datetime) -> str:
    """An attempt's `ref`: the millisecond and 84 random bits in the callback's address, so that no one can guess one.

    It grows with time as ids do: at random places, every new attempt would write to another page of the refs' index,
    and in a busy second one that begins with the second is at a random place.
    """
    return f"{int(now.timestamp() * 1000):011x}{secrets.token_hex(11)[:21]}"


def made_at(row_id: int) -> datetime:
    """When the row of that id was made, to the millisecond."""
    return datetime.fromtimestamp((row_id >> _COUNTER_BITS) / 1000, UTC)
