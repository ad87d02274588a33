"""The delivery log as people ask for it: words and fields → one filter, its facets, and what leaves as a file.

Page and command line share it, so the same words find the same texts.
"""

import csv
import io
import json
import re
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import IO, Any

from reminders import plans, store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.queries import explanations, people, readings, texts
from reminders.queries.counts import Facets, Span, facets, hours_of_day
from reminders.queries.exports import BOM, NOTICE, harmless
from reminders.queries.texts import LogFilter, Logged
from reminders.store import Database
from reminders.store.database.ids import made_at
from reminders.store.database.schema import CLASSES
from reminders.wording import staff_words

FIELDS = (
    *("state", "reason", "code", "class", "site", "when", "since", "until"),
    *("hour", "plan", "patient", "number", "sid"),
)
"""The fields of the log's form; each is a search word too, as `code:30003`."""

WHENS: Mapping[str, str] = MappingProxyType(
    {
        "past": "Due",
        "today": "Today",
        "yesterday": "Yesterday",
        "7d": "Last 7 days",
        "30d": "Last 30 days",
        "ahead": "Still to open",
        "any": "Any time",
    }
)
STATES: Mapping[str, str] = MappingProxyType(
    {**staff_words.STATES, "handed_over": "Handed over, delivered or not known", "held": "Held for a person"}
)
BY_ID: Mapping[str, str] = MappingProxyType({"plan": "plan_id", "patient": "patient_id"})
"""What the log's address says in place of a reference: field → the field that holds the id of its row."""
_SAME = {"before": "until", "after": "since", "phone": "number", "on": "when"}  # other words for a field
_SID = re.compile(r"(SM|MM)[0-9a-f]{32}")
_WORD = re.compile(r'([a-z]+):("[^"]*"|\S*)|(\S+)')
_NO_ONES = "No {} here has this reference"
LONGEST = 64
LONGEST_CODE = 6
MANY = 10_000  # above this a number of texts is said as "about"


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked of the log: by field as typed, what is wrong with it by field, and the filter if nothing is.

    `ids` are the rows of the plan and the patient that were asked for, where there are such.
    """

    chosen: Mapping[str, str]
    problems: Mapping[str, str]
    wanted: LogFilter | None
    ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, str]:
        """The fields that were filled in."""
        return {name: value for name, value in self.chosen.items() if value}

    @property
    def is_about_no_one(self) -> bool:
        """Whether nothing is wrong with it but that no plan or patient here has that reference."""
        return bool(self.problems) and set(self.problems.values()) <= {_NO_ONES.format(name) for name in BY_ID}

    @property
    def address(self) -> dict[str, str]:
        """What the log's address says: the same, with the id of a row in place of a reference."""
        said = {name: value for name, value in self.fields.items() if name not in BY_ID}
        return said | {BY_ID[name]: str(row) for name, row in self.ids.items()}


def ask(
    context: AppContext,
    tx: store.Transaction,
    fields: Mapping[str, str],
    now: datetime,
    *,
    sites: Collection[int] | None = None,
    known_only: bool = False,
) -> Question:
    """Read the fields of the form, or of an address, into a filter; `sites` are those that exist for the reader.

    `q` among them holds search words. A phone number as `number` is looked up, and from then on is the id of its row.
    With `known_only` a reference that no plan or patient of these sites has is a problem, as an id of none always is.
    """
    chosen = dict.fromkeys(FIELDS, "") | {name: fields.get(name, "").strip() for name in FIELDS}
    problems: dict[str, str] = {}
    if fields.get("q", "").strip():
        _take_words(chosen, problems, fields["q"])
    ids = {name: fields[by_id] for name, by_id in BY_ID.items() if fields.get(by_id)}
    reading = _Reading(context, tx, chosen, problems, now, sites, ids, known_only=known_only)
    wanted = reading.read()
    return Question(chosen, problems, None if problems else wanted, reading.found)


def is_row(value: str) -> bool:
    """Whether that is the id of a row: as long as ours are, so longer than any phone number."""
    return value.isascii() and value.isdecimal() and 15 < len(value) < 20 and int(value) < 2**63


def _take_words(chosen: dict[str, str], problems: dict[str, str], words: str) -> None:
    for found in _WORD.finditer(words):
        name, value, bare = found.groups()
        if bare is not None:
            name, value = _meaning(bare), bare
        name = _SAME.get(name, name)
        if name not in FIELDS:
            said = f"“{bare or name}” is no search word. Write for example code:30003 state:undelivered plan:DC-1"
            problems.setdefault("q", said)
        else:
            chosen[name] = value.strip('"')


def _meaning(bare: str) -> str:
    """What a word without its field may be: a message of Twilio's, a code, or a state."""
    if _SID.fullmatch(bare):
        return "sid"
    if bare.isascii() and bare.isdecimal() and len(bare) == 5:
        return "code"
    return "state" if bare in STATES else ""


@dataclass
class _Reading:
    context: AppContext
    tx: store.Transaction
    chosen: dict[str, str]
    problems: dict[str, str]
    now: datetime
    sites: Collection[int] | None
    ids: Mapping[str, str] = field(default_factory=dict)
    known_only: bool = False
    found: dict[str, int] = field(default_factory=dict)

    def read(self) -> LogFilter:
        places = {row.key: row for row in store.people.all_sites(self.tx) if self.sites is None or row.id in self.sites}
        site = self._one_of("site", places, "Choose a site from the list")
        place = places.get(site or self.context.settings.site.key)
        plan = self._reference("plan", "plan", "in the plan, such as DC-2026-1187")
        patient = self._reference("patient", "patient", "in the plan, such as MRN-1042")
        zone = place.zone if place is not None else self.context.settings.site.zone
        since, until = self._when(zone)
        number = self._number()
        hour = self._hour()
        wanted = LogFilter(
            sites=self.sites,
            site=places[site].id if site in places else None,
            state=self._one_of("state", STATES, "Choose a state from the list"),
            reason=self._one_of("reason", staff_words.REASONS, "Choose a reason from the list"),
            class_=self._one_of("class", CLASSES, "Choose a sort of text from the list"),
            plan=plan,
            patient=patient,
            sid=self._sid(),
            code=self._code(),
            number=number,
            since=since,
            until=until,
        )
        if hour is not None:
            span = Span(since, until)
            wanted = replace(wanted, hours=hours_of_day(self.tx, hour, zone, span))
        return wanted

    def _one_of(self, name: str, known: Collection[str], said: str) -> str | None:
        value = self.chosen[name]
        if value and value not in known:
            self.problems[name] = said
        return value if value in known and value else None

    def _reference(self, name: str, word: str, where: str) -> str | None:
        if name in self.ids:
            row = int(self.ids[name]) if is_row(self.ids[name]) else 0
            self.chosen[name] = people.reference_of(self.tx, name, row, self.sites) or ""
            if self.chosen[name]:
                self.found[name] = row
            else:
                self.problems[name] = _NO_ONES.format(word)
            return self.chosen[name] or None
        value = self.chosen[name]
        if len(value) > LONGEST:
            self.problems[name] = f"{word.capitalize()} reference must be {LONGEST} characters or fewer"
        elif not value.isprintable():
            self.problems[name] = f"Enter a {word} reference as it stands {where}"
        elif value:
            row_id = people.row_of_reference(self.tx, name, value, self.sites)
            if row_id is not None:
                self.found[name] = row_id
            elif self.known_only:
                self.problems[name] = _NO_ONES.format(word)
        return value or None

    def _code(self) -> int | None:
        value = self.chosen["code"]
        if not value:
            return None
        if not (value.isascii() and value.isdecimal() and len(value) <= LONGEST_CODE and int(value)):
            self.problems["code"] = "Enter a Twilio code as a number, such as 30003"
            return None
        return int(value)

    def _sid(self) -> str | None:
        value = self.chosen["sid"]
        if value and not _SID.fullmatch(value):
            self.problems["sid"] = "Enter a message's SID: SM and 32 digits and letters a to f"
        return value or None

    def _hour(self) -> int | None:
        value = self.chosen["hour"]
        if not value:
            return None
        if not (value.isascii() and value.isdecimal() and int(value[:3]) < 24):
            self.problems["hour"] = "Enter an hour of the day, 0 to 23"
            return None
        return int(value)

    def _number(self) -> int | None:
        value = self.chosen["number"]
        if not value:
            return None
        if is_row(value):
            return int(value)
        self.chosen["number"] = ""  # a phone number is repeated nowhere
        try:
            phone = plans.find_phone(value, self.context.known(self.tx, self.now))
        except (plans.PlanRefused, ValueError):
            self.problems["number"] = "Enter a whole phone number, such as (202) 555-0143"
            return None
        found = store.people.number_by_phone(self.tx, phone)
        # As many statements for no one's number as for another program's: time tells nothing of either.
        mine = LogFilter(number=found.id if found is not None else 0, sites=self.sites, limit=1)
        known = bool(texts.log(self.tx, mine))
        if found is not None and not known and self.context.settings.sites.one_program:
            known = bool(store.people.recipients_on(self.tx, [found.id]))
        if found is None or not known:  # another program's is like no one's
            self.problems["number"] = "No text was ever planned for this number"
            return None
        self.chosen["number"] = str(found.id)
        return int(found.id)

    def _when(self, zone: str) -> tuple[datetime | None, datetime | None]:
        if not any(self.chosen.values()):
            self.chosen["when"] = "past"
        when = self._one_of("when", WHENS, "Choose when from the list")
        since, until = self._instant("since", zone), self._instant("until", zone)
        today = plans.to_wall(self.now, zone).date()
        starts = {"today": 0, "yesterday": 1, "7d": 6, "30d": 29}
        if when in starts:
            since = max(filter(None, (since, _midnight(today - timedelta(days=starts[when]), zone))))
            until = min(filter(None, (until, _midnight(today + timedelta(days=when != "yesterday"), zone))))
        elif when == "past":
            until = min(filter(None, (until, self.now)))
        elif when == "ahead":
            since = max(filter(None, (since, self.now)))
        return since, until

    def _instant(self, name: str, zone: str) -> datetime | None:
        value = self.chosen[name]
        if not value:
            return None
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            at = None
        if at is None or not 2000 <= at.year <= 2199:
            self.problems[name] = "Enter a date, such as 2026-12-01, or a date and time, such as 2026-12-01T09:00"
            return None
        return (plans.to_instant(at, zone) if at.tzinfo is None else at).astimezone(UTC)


def _midnight(on: date, zone: str) -> datetime:
    return plans.to_instant(datetime.combine(on, time(0)), zone).astimezone(UTC)


def count(tx: store.Transaction, wanted: LogFilter) -> Facets:
    """How many texts match, and how many would with another choice of each facet."""
    return facets(tx, wanted)


def about(many: int) -> str:
    """A number of texts in words; above 10,000 it is not meant to the last one."""
    return f"{many:,}" if many <= MANY else f"about {round(many, -2):,}"


# What leaves.


COLUMNS = (
    *("opens_at", "to", "plan", "patient", "class", "state", "reason", "code", "sid", "what became of it"),
    *("key", "site", "tries", "segments", "consent_scope"),
)
FORMATS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "csv": ("CSV", "text/csv; charset=utf-8"),
        "xlsx": ("Excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        "jsonl": ("JSON Lines", "application/jsonl"),
    }
)
AT_ONCE = 1_000  # texts that are in memory at once
SHEET = 1_000_000  # rows in a sheet; a workbook takes some more


def rows(database: Database, wanted: LogFilter) -> Iterator[tuple[Logged, str]]:
    """Every text that matches, newest first, each with what its reader agreed to; a thousand in memory at once."""
    left = wanted.limit
    place = wanted.before
    while left > 0:
        page = replace(wanted, before=place, limit=min(AT_ONCE, left))

        def look(tx: store.Transaction, page: LogFilter = page) -> tuple[list[Logged], dict[int, str]]:
            found = texts.log(tx, page)
            readers = {text.recipient_id for text in found if text.recipient_id is not None}
            return found, {
                reader: ", ".join(sorted(row.categories)) if row.said == "yes" else row.said
                for reader, row in store.people.consents_in_force(tx, sorted(readers)).items()
            }

        found, scopes = database.read(look)
        for text in found:
            yield text, scopes.get(text.recipient_id or 0, "")
        if len(found) < page.limit:
            return
        left -= len(found)
        place = found[-1].place


def note_export(database: Database, question: Question, form: str, now: datetime, *, who: str) -> None:
    """Put on record that a person takes texts out, and which."""
    # By row: no reference of a person who is erased later may stay in the audit.
    said = json.dumps({"format": form, **question.address}, sort_keys=True)
    readings.note(database, readings.Note(Action.LOG_EXPORTED, "texts", 0, after=said), now=now, who=who)


def as_csv(database: Database, wanted: LogFilter, *, notice: Sequence[str] = NOTICE) -> Generator[str]:
    """The log as CSV, line by line: a byte order mark and the header first, the notice in the last lines.

    No cell can be a formula.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, quoting=csv.QUOTE_ALL)

    def written(cells: Sequence[object]) -> str:
        lines.seek(0)
        lines.truncate()
        writer.writerow(["" if cell is None else harmless(str(cell)) for cell in cells])
        return lines.getvalue()

    yield BOM + written(COLUMNS)
    for text, scope in rows(database, wanted):
        yield written(_cells(text, scope))
    for line in notice:
        yield written([line])


def as_jsonl(database: Database, wanted: LogFilter) -> Generator[str]:
    """The log as JSON Lines; the first says the notice."""
    yield json.dumps({"notice": " ".join(NOTICE)}) + "\n"
    for text, scope in rows(database, wanted):
        yield json.dumps(in_full(text) | {"consent_scope": scope}, default=_plainly) + "\n"


def as_workbook(database: Database, wanted: LogFilter) -> IO[bytes]:
    """The log as a workbook, in a file that is gone when it is closed; written row by row to the disk."""
    import xlsxwriter

    # Not ours to close: it is sent from here.
    file = TemporaryFile()  # ruff: ignore[open-file-with-context-handler]
    book = xlsxwriter.Workbook(
        file,
        {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False},
    )
    bold = book.add_format({"bold": True})
    sheet, line = None, SHEET
    for text, scope in rows(database, wanted):
        if sheet is None or line >= SHEET:
            sheet, line = _new_sheet(book, bold), len(NOTICE) + 1
        for column, cell in enumerate(_cells(text, scope)):
            if isinstance(cell, int):
                sheet.write_number(line, column, cell)
            elif cell:
                sheet.write_string(line, column, str(cell))
        line += 1
    if sheet is None:
        _new_sheet(book, bold)
    book.close()
    file.seek(0)
    return file


def _new_sheet(book: Any, bold: Any) -> Any:
    sheet = book.add_worksheet()
    for line, said in enumerate(NOTICE):
        sheet.write_string(line, 0, said, bold)
    for column, name in enumerate(COLUMNS):
        sheet.write_string(len(NOTICE), column, name, bold)
    sheet.freeze_panes(len(NOTICE) + 1, 0)
    return sheet


def _cells(text: Logged, scope: str) -> tuple[object, ...]:
    last = text.attempts[-1] if text.attempts else None
    code, sid = (last.error_code, last.sid) if last is not None else (None, None)
    return (
        *(text.opens_at.isoformat(), text.to, text.plan, text.patient, text.class_, text.state, text.reason, code, sid),
        *(explanations.tell(text), text.key, text.site, len(text.attempts), text.segments, scope),
    )


def in_full(text: Logged) -> dict[str, Any]:
    """A text as programs get it (README.md#commands)."""
    return {
        "text": str(text.text),
        "class": text.class_,
        "key": text.key,
        "site": text.site,
        "plan": text.plan,
        "patient": text.patient,
        "recipient": text.recipient,
        "to": text.to,
        "opens_at": text.opens_at,
        "closes_at": text.closes_at,
        "state": text.state,
        "reason": text.reason,
        "held": text.held,
        "attempts": [
            {
                "ref": attempt.ref,
                "sid": attempt.sid,
                "answer": attempt.answer,
                "status": attempt.status,
                "error_code": attempt.error_code,
                "segments": attempt.segments,
                "started_at": attempt.started_at,
            }
            for attempt in text.attempts
        ],
    }


def _plainly(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


# What is done with texts that did not arrive.


# One text in full.


def note_read(
    database: Database, shown: Collection[int], now: datetime, *, who: str, site: int, by_number: bool
) -> None:
    """Put on record that `who` saw these lines of the log, or, where there is none, looked for a number."""
    if shown or by_number:
        what = Action.LOG_OF_A_NUMBER_READ if by_number else Action.LOG_READ
        readings.note(database, readings.Note(what, "sites", site, after=store.audit_log.seen(shown)), now=now, who=who)


@dataclass(frozen=True, slots=True)
class Whole:
    """One text with all its tries and the steps of its life; whether whoever asked may read what it says."""

    text: Logged
    may_read: bool
    tries: list[texts.Tried]
    steps: list[explanations.Step]


def whole(
    database: Database,
    text_id: int,
    now: datetime,
    *,
    sites: Collection[int] | None,
    bodies: Collection[int] | None,
    raw: Collection[int] | None,
    who: str,
) -> Whole | None:
    """One text in full; None where there is none of these sites. What was read of sealed fields is put on record.

    `bodies` and `raw` are the sites where the asker may read what texts say, and what Twilio sent (None: all).
    """

    def look(tx: store.Transaction, notes: readings.Notes) -> Whole | None:
        found = texts.log(tx, LogFilter(text=text_id, sites=sites, limit=1))
        if not found:
            return None
        text = found[0]
        site = store.people.site_by_key(tx, text.site)
        assert site is not None
        may_read, may_see_raw = (allowed is None or site.id in allowed for allowed in (bodies, raw))
        tried = texts.tries(tx, text_id, bodies=may_read, raw=may_see_raw)
        what = Action.TEXT_AND_RAW_READ if may_see_raw and may_read else Action.TEXT_READ
        what = Action.RAW_READ if may_see_raw and not may_read else what
        notes.add(what, "texts", text_id)
        if not may_read:
            tried = [replace(one, heard=tuple(_masked(heard) for heard in one.heard)) for one in tried]
        return Whole(text, may_read, tried, explanations.steps(text, tried, made_at(text_id)))

    return readings.read(database, look, now, who=who)


_PEOPLE = ("To", "From", "Body", "WaId", "ProfileName", "FromCity", "FromZip")


def _masked(heard: texts.Heard) -> texts.Heard:
    """What Twilio sent, for who may not see people: whom it names is taken out."""
    if heard.raw is None:
        return heard
    try:
        form = json.loads(heard.raw)
    except ValueError:
        return replace(heard, raw=None)
    hidden = {name: "…" if name in _PEOPLE else value for name, value in form.items()}
    return replace(heard, raw=json.dumps(hidden, sort_keys=True))
