"""What the other contenders have in common: a table of messages, and the SDK's own client used as its manual says.

The table is SQLite's; an outcome is on disk once committed. BENCH_JOURNAL says how: `delete` is what SQLite does by
itself, `wal` what ours asks it for. Personal data stands in the table as it is, and nothing is judged or rendered:
less work than ours, not more.
"""

import functools
import os
import sqlite3
import threading
from collections.abc import Iterator

from turn import phone
from twilio.rest import Client

SENDER = "+15005550006"
ACCOUNT, TOKEN = "AC" + "0" * 32, "a token of the benchmark"
BODY = "Oak Street Office: You have a visit tomorrow at 10:30 AM. Reply C to confirm, R to reschedule. STOP to end."

_of_this_thread = threading.local()


def keep_durable(connection: sqlite3.Connection) -> None:
    """Make what is committed through this connection survive a loss of power."""
    connection.execute(f"PRAGMA journal_mode={os.environ['BENCH_JOURNAL']}")
    connection.execute("PRAGMA synchronous=FULL")


def open_messages(path: str) -> sqlite3.Connection:
    """The database of messages; a connection of this thread's own."""
    connection = getattr(_of_this_thread, "connection", None)
    if connection is None:
        connection = _of_this_thread.connection = sqlite3.connect(path, timeout=60)
        keep_durable(connection)
    return connection


def lay_down(path: str, messages: int) -> None:
    """Make the table, with that many messages to send."""
    with open_messages(path) as connection:
        connection.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, phone TEXT, body TEXT, status TEXT, sid TEXT)"
        )
        rows = [(number, phone(number), BODY, "scheduled") for number in range(messages)]
        connection.executemany("INSERT INTO messages (id, phone, body, status) VALUES (?, ?, ?, ?)", rows)


def sent(path: str) -> int:
    """How many messages are on record as sent."""
    return open_messages(path).execute("SELECT count(*) FROM messages WHERE status = 'sent'").fetchone()[0]


def to_send(path: str) -> Iterator[tuple[int, str, str]]:
    """The messages: id, phone, body."""
    yield from open_messages(path).execute("SELECT id, phone, body FROM messages ORDER BY id")


@functools.cache
def client() -> Client:
    """The SDK's client, one for the process; it calls the stand-in in place of Twilio."""
    made = Client(ACCOUNT, TOKEN)
    made.api.base_url = os.environ["BENCH_URL"]
    return made


def send(number: int, to: str, body: str) -> None:
    """Send one message and put the outcome on record."""
    message = client().messages.create(to=to, from_=SENDER, body=body)
    with open_messages(os.environ["BENCH_MESSAGES"]) as connection:
        connection.execute("UPDATE messages SET status = 'sent', sid = ? WHERE id = ?", (message.sid, number))
