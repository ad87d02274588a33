"""What people send by a form: read whole, within limits, before anything is done with it."""

import asyncio
import re
from datetime import date
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Request
from pydantic import BeforeValidator
from starlette.requests import ClientDisconnect

from reminders.wording import house_style

MOST_BYTES = 256 * 1024
MOST_FIELDS = 2_000
MOST_SECONDS = 20.0


class Fields:
    """The fields of a form, in the order in which they were sent. Values are stripped; a missing one is empty."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = [(name, _as_sent(name, value.replace("\0", "\ufffd").strip())) for name, value in pairs]

    def __getitem__(self, name: str) -> str:
        """The last value of that name, or an empty string."""
        return next((value for known, value in reversed(self.pairs) if known == name), "")

    def all(self, name: str) -> list[str]:
        """Every value of that name that is not empty: boxes that were ticked."""
        return [value for known, value in self.pairs if known == name and value]

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.pairs)

    def as_dict(self) -> dict[str, str]:
        """Name → last value."""
        return dict(self.pairs)


_DATES_AND_TIMES = re.compile(r"(?:^|[._])(?:on|date|since|until|time|at|from|to)$|\.program_times\.")


def _as_sent(name: str, value: str) -> str:
    """A date or a time as a date or time field sends it, whichever way it was typed; anything else as it is."""
    if not value or not _DATES_AND_TIMES.search(name):
        return value
    if (day := house_style.read_day(value)) is not None:
        return day.isoformat()
    at = house_style.read_hour(value)
    return value if at is None or re.fullmatch(r"\d\d:\d\d(:\d\d)?", value) else f"{at:%H:%M}"


async def read_form(request: Request) -> Fields:
    """The form of a POST. 413 over 256 KB, 408 when it does not arrive, 400 for what is no form."""
    body = bytearray()
    try:
        async with asyncio.timeout(MOST_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise HTTPException(413, "That was more than this page takes. Shorten it and send it again.")
        fields = Fields(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except TimeoutError:
        raise HTTPException(408, "The form did not arrive whole. Send it again.") from None
    except (ValueError, ClientDisconnect):
        raise HTTPException(400, "That was not a form of ours. Go back and send it again.") from None
    request.state.fields = fields  # should it turn out that the sign-in has ended meanwhile
    return fields


Form = Annotated[Fields, Depends(read_form)]
"""The posted form of a page's endpoint."""


def day_in(text: str) -> date | None:
    """A day as a date field gives it, year-month-day; None for none, and for one outside 1900 to 2199."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1900 <= day.year <= 2199 else None


def row_id(text: str) -> int | None:
    """A row's id as a form or an address has it; None for what is none."""
    is_number = text.isascii() and text.isdecimal() and len(text) < 20
    return int(text) if is_number and 0 < int(text) < 2**63 else None


def _row_id(text: object) -> int:
    found = row_id(text) if isinstance(text, str) else None
    if found is None:
        raise HTTPException(404)  # there is nothing there
    return found


RowId = Annotated[int, BeforeValidator(_row_id)]
"""The id of a row, as it stands in an address. 404 for what is none."""
