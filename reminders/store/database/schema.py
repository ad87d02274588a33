"""Every table, with the constraints that do the work (docs/design.md#natural-keys). The same on SQLite and PostgreSQL.

Ids are made by us before the insert (`ids.py`), so that rows can be laid down in bulk and a sealed value can be bound
to its row. Columns that end in `_sealed` hold what `sealing.py` made of personal data; nothing personal stands beside
them in the clear.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles

from reminders import lifecycle
from reminders.lifecycle import State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC instant: `timestamptz` on PostgreSQL, whole microseconds since 1970 on SQLite.

    A naive value is refused: it would be someone's wall clock.
    """

    impl = sa.BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """What its values are in Python."""
        return datetime

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """The column type on this database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sa.BigInteger())

    # Both as one function of ours: they are called for several columns of every text.

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[datetime | None], Any]:
        """An aware instant → what the driver takes."""
        return _with_zone if dialect.name == "postgresql" else _to_microseconds

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """What the driver gave → an aware UTC instant."""
        del coltype
        return _in_utc if dialect.name == "postgresql" else _of_microseconds


def _with_zone(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        msg = "an instant must carry its zone"
        raise ValueError(msg)
    return value


def _to_microseconds(value: datetime | None) -> int | None:
    at = _with_zone(value)
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


def _of_microseconds(value: int | None) -> datetime | None:
    return None if value is None else _EPOCH + value * _MICROSECOND


class hour_of(sa.sql.functions.FunctionElement[int]):  # ruff: ignore[invalid-class-name]  it is written as a function
    """The hour in which an instant lies, counted from 1970."""

    type = sa.Integer()
    inherit_cache = True
    name = "hour_of"


class seconds_between(sa.sql.functions.FunctionElement[float]):  # ruff: ignore[invalid-class-name]  as above
    """How many seconds the first instant is after the second."""

    type = sa.Float()
    inherit_cache = True
    name = "seconds_between"


@compiles(hour_of, "sqlite")
def _hour_in_sqlite(element: hour_of, compiler: Any, **more: Any) -> str:
    return f"({compiler.process(element.clauses, **more)} / 3600000000)"


@compiles(hour_of)
def _hour(element: hour_of, compiler: Any, **more: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **more)}) / 3600) AS INTEGER)"


@compiles(seconds_between, "sqlite")
def _seconds_in_sqlite(element: seconds_between, compiler: Any, **more: Any) -> str:
    later, earlier = (compiler.process(one, **more) for one in element.clauses)
    return f"(({later} - {earlier}) / 1000000.0)"


@compiles(seconds_between)
def _seconds(element: seconds_between, compiler: Any, **more: Any) -> str:
    later, earlier = (compiler.process(one, **more) for one in element.clauses)
    return f"CAST(extract(epoch FROM ({later} - {earlier})) AS DOUBLE PRECISION)"


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False)


def _one_of(column: str, values: tuple[str, ...], name: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name)


def _partial_index(name: str, *columns: Any, where: str, unique: bool = False) -> Index:
    condition = sa.text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _spelled_out(values: Iterable[str]) -> str:
    listed = [f"'{value}'" for value in values]
    # SQLite does not see that a list of one is what a partial index asks for.
    return f"= {listed[0]}" if len(listed) == 1 else f"IN ({', '.join(listed)})"


def is_one_of(column: Column[Any], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """`column IN (…)` with the values written into the statement.

    Bound lists cannot be used in a statement that runs for many rows, and would hide partial indexes.
    """
    return sa.text(f"{column.table.name}.{column.name} {_spelled_out(values)}")  # type: ignore[return-value]  # as SQLAlchemy takes it


sites = Table(
    "sites",
    metadata,
    _id(),
    Column("key", sa.String(32), nullable=False, unique=True),
    Column("alias", sa.String(18), nullable=False),
    Column("phone", sa.String(16), nullable=False),
    Column("line24", sa.String(16), nullable=False),
    Column("zone", sa.String(64), nullable=False),
    Column("region", sa.String(2), nullable=False),
    Column("quiet_from", sa.String(5), nullable=False),
    Column("quiet_to", sa.String(5), nullable=False),
    Column("closures", sa.JSON, nullable=False),
    # Of these what staff added to the closures that settings name: the default site is made what settings say again.
    Column("added_closures", sa.JSON, nullable=False, server_default="[]"),
    Column("paused_at", Instant),
)

senders = Table(
    "senders",
    metadata,
    _id(),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("address", sa.String(34), nullable=False),
    Column("segments_per_second", sa.Float, nullable=False),
    Column("segments_per_day", sa.Integer, nullable=False, server_default="0"),  # the network's limit; 0: none
    Column("next_free_at", Instant),
    Column("heard_until", Instant),  # up to when what was texted to it has been listed
    Column("stopped_until", Instant),
    Column("stopped_code", sa.Integer),
    Column("stops", sa.Integer, nullable=False, server_default="0"),  # in a row, for the back-off
    UniqueConstraint("site_id", "address"),
)

keys = Table(
    "keys",
    metadata,
    _id(),
    Column("purpose", sa.String(16), nullable=False),
    Column("wrapped", sa.LargeBinary, nullable=False),
    Column("made_at", Instant, nullable=False),
    _one_of("purpose", ("patient", "index"), "purpose"),
    # Two processes that prepare a new database together must not make two indexes.
    _partial_index("uq_keys_one_index", "purpose", where="purpose = 'index'", unique=True),
)

# Index keys that were replaced, while anything may be found by them alone: what is not indexed again yet, and the
# STOP of a person who was erased, whose number is known by nothing else.
former_keys = Table(
    "former_keys",
    metadata,
    _id(),
    Column("wrapped", sa.LargeBinary, nullable=False),
    Column("made_at", Instant, nullable=False),
)

# A number belongs to no one: it does not cascade from patients, so no plan, import or edit can undo a STOP.
numbers = Table(
    "numbers",
    metadata,
    _id(),
    Column("fingerprint", sa.LargeBinary(32), nullable=False, unique=True),
    Column("phone_sealed", sa.LargeBinary, nullable=False),
    Column("opted_out_at", Instant),
    Column("verified_at", Instant),
    Column("bad_since", Instant),
    Column("bad_code", sa.Integer),
    Column("wrong_since", Instant),
    Column("last_texted_at", Instant),
    postgresql_with={"fillfactor": 75},
)

patients = Table(
    "patients",
    metadata,
    _id(),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("ref", sa.String(64), nullable=False),
    Column("key_id", ForeignKey("keys.id"), nullable=False),
    Column("name_sealed", sa.LargeBinary),
    Column("born_on_sealed", sa.LargeBinary),
    Column("legal_hold", sa.Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("site_id", "ref"),
    Index("ix_patients_ref", "ref"),
)

# By which words of their name a patient is found: fingerprints, made with the key that phones are found by.
name_words = Table(
    "name_words",
    metadata,
    Column("fingerprint", sa.LargeBinary(32), primary_key=True),
    Column("patient_id", ForeignKey("patients.id"), primary_key=True),
    Index("ix_name_words_patient_id", "patient_id"),
)

recipients = Table(
    "recipients",
    metadata,
    _id(),
    Column("patient_id", ForeignKey("patients.id"), nullable=False),
    Column("key", sa.String(64), nullable=False),
    Column("role", sa.String(16), nullable=False),
    Column("number_id", ForeignKey("numbers.id"), nullable=False),
    Column("language", sa.String(35), nullable=False),
    Column("zone", sa.String(64), nullable=False),
    Column("texting_from", sa.String(5)),
    Column("texting_to", sa.String(5)),
    Column("weekly_digest", sa.Boolean, nullable=False),
    Column("guessed_zones", sa.JSON, nullable=False),  # where no one stated a zone: others the person may be in
    Column("part2_consent_on", sa.Date),
    Column("entered_at", Instant, nullable=False),  # what was changed before, they never knew otherwise
    # The record in force: the newest for the present number. The records themselves are append-only.
    Column("consent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
    UniqueConstraint("patient_id", "key"),
    _one_of("role", ("self", "supporter", "guardian"), "role"),
    Index("ix_recipients_number_id", "number_id"),
)

consents = Table(
    "consents",
    metadata,
    _id(),
    Column("recipient_id", ForeignKey("recipients.id"), nullable=False),
    Column("number_id", ForeignKey("numbers.id"), nullable=False),
    Column("said", sa.String(8), nullable=False),
    Column("said_on", sa.Date, nullable=False),
    Column("how", sa.String(500), nullable=False),
    Column("by", sa.String(200), nullable=False),
    Column("categories", sa.JSON, nullable=False),
    Column("warned_of_risk", sa.Boolean, nullable=False),
    Column("wording", sa.String(64)),
    Column("per_day", sa.Integer),
    Column("per_week", sa.Integer),
    Column("alias_shown", sa.Boolean, nullable=False),
    Column("verified", sa.String(500)),
    Column("legal_basis", sa.String(500)),
    Column("expires_on", sa.Date),
    Column("recorded_at", Instant, nullable=False),
    _one_of("said", ("yes", "no", "revoked"), "said"),
    Index("ix_consents_recipient_id", "recipient_id"),
)

plans = Table(
    "plans",
    metadata,
    _id(),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("patient_id", ForeignKey("patients.id"), nullable=False),
    Column("source", sa.String(64), nullable=False),
    Column("ref", sa.String(64), nullable=False),
    Column("version", sa.Integer, nullable=False),
    Column("status", sa.String(8), nullable=False),
    Column("ended_because_sealed", sa.LargeBinary),
    Column("discharged_on", sa.Date, nullable=False),
    Column("program", sa.String(400)),
    Column("alongside", sa.Boolean, nullable=False),
    Column("replaces", sa.String(64)),
    Column("document_sealed", sa.LargeBinary, nullable=False),
    Column("laid_down_until", sa.Date, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    UniqueConstraint("site_id", "source", "ref"),
    _one_of("status", ("active", "paused", "ended"), "status"),
    CheckConstraint("(status = 'ended') = (ended_because_sealed IS NOT NULL)", name="ended_because"),
    Index("ix_plans_patient_id", "patient_id"),
    Index("ix_plans_ref", "ref"),
    Index("ix_plans_discharged_on", "discharged_on", "id"),
    Index("ix_plans_site_id", "site_id", "discharged_on", "id"),
    _partial_index("ix_plans_current", "laid_down_until", where="status <> 'ended'"),
)

# What several patients' appointments share. Staff-only.
sessions = Table(
    "sessions",
    metadata,
    _id(),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("key", sa.String(64), nullable=False),
    UniqueConstraint("site_id", "key"),
)

series = Table(
    "series",
    metadata,
    _id(),
    Column("plan_id", ForeignKey("plans.id"), nullable=False),
    Column("key", sa.String(128), nullable=False),
    Column("kind", sa.String(32), nullable=False),
    Column("starts", sa.String(19), nullable=False),
    Column("zone", sa.String(64), nullable=False),
    Column("repeats", sa.Text),
    Column("minutes", sa.Integer),
    Column("how", sa.String(9), nullable=False),
    Column("place_sealed", sa.LargeBinary),
    Column("with_sealed", sa.LargeBinary),
    Column("session_id", ForeignKey("sessions.id")),
    Column("recipients", sa.JSON, nullable=False),
    Column("joined", sa.JSON),  # recipients who were named in it later: key → when (UTC, ISO 8601)
    Column("leads", sa.JSON),
    Column("status", sa.String(10), nullable=False),
    UniqueConstraint("plan_id", "key"),
    _one_of("how", ("in_person", "phone", "video"), "how"),
    _one_of("status", ("booked", "tentative", "cancelled"), "status"),
    Index("ix_series_session_id", "session_id"),
)

appointments = Table(
    "appointments",
    metadata,
    _id(),
    Column("series_id", ForeignKey("series.id"), nullable=False),
    Column("recurrence_id", sa.String(10), nullable=False),
    Column("wall", sa.String(19), nullable=False),
    Column("zone", sa.String(64), nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("status", sa.String(10), nullable=False),
    # What the plan says; `wall` and `status` are what holds, also after a session was moved or called off.
    Column("agreed_wall", sa.String(19), nullable=False),
    Column("agreed_status", sa.String(10), nullable=False),
    # What its readers know of it, unless a notice told them otherwise since: what a change is measured against.
    Column("known_wall", sa.String(19), nullable=False),
    Column("known_status", sa.String(10), nullable=False),
    Column("entered_at", Instant, nullable=False),
    Column("attendance", sa.String(8)),  # attended, late or missed; only ever what a person or a feed said
    Column("marked_at", Instant),
    Column("version", sa.Integer, nullable=False),
    Column("written_at", Instant, nullable=False),
    UniqueConstraint("series_id", "recurrence_id"),
    _one_of("status", ("booked", "tentative", "cancelled", "attended", "missed"), "status"),
    Index("ix_appointments_starts_at", "starts_at"),
)

# A C, as good as the version of the visit that it answered.
confirmations = Table(
    "confirmations",
    metadata,
    Column("appointment_id", ForeignKey("appointments.id"), primary_key=True),
    Column("recipient_id", ForeignKey("recipients.id"), primary_key=True),
    Column("version", sa.Integer, nullable=False),
    Column("confirmed_at", Instant, nullable=False),
)

_STATES = tuple(state.value for state in State)
CLASSES = ("reminder", "notice", "answer", "welcome", "staff")

# Conditions that partial indexes and the queries that use them share, to the letter: a bound parameter in their
# place would hide the index from both planners.
WAITING = "state = 'scheduled' AND NOT ready AND held IS NULL"
READY = "ready"
IN_FLIGHT = "state = 'sending'"
UNCERTAIN = "state = 'uncertain'"
UNREADABLE = "held = 'unreadable'"
HELD = "held IS NOT NULL AND state = 'scheduled'"
UNSETTLED = "look_at IS NOT NULL"
UNASKED = "ask_at IS NOT NULL"
SELDOM = f"state {_spelled_out(lifecycle.SELDOM)}"

texts = Table(
    "texts",
    metadata,
    _id(),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("sender_id", ForeignKey("senders.id"), nullable=False),
    Column("number_id", ForeignKey("numbers.id"), nullable=False),
    Column("recipient_id", ForeignKey("recipients.id")),  # None: an answer to a number that is no one's
    Column("plan_id", ForeignKey("plans.id")),
    Column("class", sa.String(8), nullable=False),
    Column("key", sa.String(160), nullable=False),
    Column("day", sa.Date),
    Column("state", sa.String(11), nullable=False),
    Column("reason", sa.String(12)),
    Column("held", sa.String(16)),
    Column("ready", sa.Boolean, nullable=False),
    Column("due_at", Instant, nullable=False),  # opens_at, or later: quiet hours at that moment, a retry's back-off
    Column("opens_at", Instant, nullable=False),
    Column("closes_at", Instant, nullable=False),
    Column("leased_until", Instant),
    Column("attempts", sa.SmallInteger, nullable=False),
    Column("resent", sa.Boolean, nullable=False),  # the one resend of sending rule 5 is spent
    Column("waits_code", sa.Integer),  # why a scheduled text that was tried still waits
    # What a text that is no reminder says: a text of the catalog, or what staff typed.
    Column("wording", sa.String(24)),
    Column("language", sa.String(35)),  # where it is not the recipient's
    Column("body_sealed", sa.LargeBinary),
    Column("reply_id", ForeignKey("replies.id")),  # what it answers
    Column("released_at", Instant),  # a person let it go although its patient's texts are held
    UniqueConstraint("recipient_id", "key"),
    _partial_index("uq_texts_to_nobody", "number_id", "key", where="recipient_id IS NULL", unique=True),
    _one_of("class", CLASSES, "class"),
    _one_of("state", _STATES, "state"),
    CheckConstraint("opens_at < closes_at", name="window"),
    CheckConstraint("(state = 'sending') = (leased_until IS NOT NULL)", name="lease"),
    CheckConstraint("NOT ready OR (state = 'scheduled' AND held IS NULL)", name="ready"),
    CheckConstraint("(state = 'suppressed') = (reason IS NOT NULL)", name="reason"),
    _partial_index("ix_texts_waiting", "due_at", where=WAITING),
    _partial_index("ix_texts_ready", "sender_id", "closes_at", where=READY),
    _partial_index("ix_texts_in_flight", "leased_until", where=IN_FLIGHT),
    _partial_index("ix_texts_uncertain", "closes_at", where=UNCERTAIN),
    _partial_index("ix_texts_unreadable", "closes_at", where=UNREADABLE),
    _partial_index("ix_texts_held", "closes_at", where=HELD),
    _partial_index("ix_texts_closing", "closes_at", where="state = 'scheduled'"),
    _partial_index("ix_texts_queued_for", "number_id", where="state = 'scheduled'"),
    # Where texts are found by others' rows (the attempts that met a code), these two say which of them come first.
    PrimaryKeyConstraint("id", postgresql_include=["opens_at", "site_id"]),
    Index("ix_texts_opens_at", "opens_at", "id"),
    _partial_index("ix_texts_seldom", "state", "opens_at", "id", where=SELDOM),
    _partial_index("ix_texts_reason", "reason", "opens_at", "id", where="reason IS NOT NULL"),
    _partial_index("ix_texts_class", "class", "opens_at", "id", where="class <> 'reminder'"),
    _partial_index("ix_texts_answers", "number_id", "opens_at", where="class <> 'reminder'"),
    Index("ix_texts_plan_id", "plan_id"),
)

text_items = Table(
    "text_items",
    metadata,
    Column("text_id", ForeignKey("texts.id"), primary_key=True),
    Column("appointment_id", ForeignKey("appointments.id"), primary_key=True),
    Column("tells", sa.String(32)),  # a notice: the wall clock and status that it tells of this visit
    Column("was", sa.String(19)),  # and the wall clock that its reader knew
    Index("ix_text_items_appointment_id", "appointment_id"),
)

# Written before the call to Twilio; `ref` goes out in the callback's address and brings the receipt home.
attempts = Table(
    "attempts",
    metadata,
    _id(),
    Column("text_id", ForeignKey("texts.id"), nullable=False),
    Column("number", sa.SmallInteger, nullable=False),
    Column("ref", sa.String(32), nullable=False, unique=True),
    Column("sid", sa.String(64), unique=True),
    Column("sender_id", ForeignKey("senders.id"), nullable=False),
    Column("number_id", ForeignKey("numbers.id"), nullable=False),
    Column("consent_id", ForeignKey("consents.id")),
    Column("started_at", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("answer", sa.String(8)),
    Column("what", sa.String(40)),
    Column("status", sa.String(20)),
    Column("error_code", sa.Integer, nullable=False, server_default="0"),
    Column("status_at", Instant),
    Column("template", sa.String(40), nullable=False),
    Column("language", sa.String(8), nullable=False),
    Column("body_sealed", sa.LargeBinary, nullable=False),
    Column("segments", sa.SmallInteger, nullable=False),
    Column("encoding", sa.String(5), nullable=False),
    Column("price", sa.String(16)),
    Column("look_at", Instant),
    Column("looks", sa.SmallInteger, nullable=False, server_default="0"),
    Column("ask_at", Instant),
    Column("asks", sa.SmallInteger, nullable=False, server_default="0"),
    UniqueConstraint("text_id", "number"),
    _one_of("answer", ("accepted", "refused", "unknown"), "answer"),
    Index("ix_attempts_number_id", "number_id", "started_at"),
    _partial_index("ix_attempts_unsettled", "look_at", where=UNSETTLED),
    _partial_index("ix_attempts_unasked", "ask_at", where=UNASKED),
    _partial_index("ix_attempts_error_code", "error_code", "text_id", where="error_code <> 0"),
)

receipts = Table(
    "receipts",
    metadata,
    _id(),
    Column("attempt_id", ForeignKey("attempts.id"), nullable=False),
    Column("status", sa.String(20), nullable=False),
    Column("error_code", sa.Integer, nullable=False, server_default="0"),
    Column("heard_at", Instant, nullable=False),
    Column("heard_by", sa.String(8), nullable=False),
    Column("raw_sealed", sa.LargeBinary, nullable=False),
    UniqueConstraint("attempt_id", "status", "error_code"),
    _one_of("heard_by", ("callback", "asking", "look-up"), "heard_by"),
)

replies = Table(
    "replies",
    metadata,
    _id(),
    Column("sid", sa.String(64), nullable=False, unique=True),
    Column("number_id", ForeignKey("numbers.id"), nullable=False),
    Column("sent_to", sa.String(64), nullable=False),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("patient_id", ForeignKey("patients.id")),  # whose key seals it; None: a number that is no one's
    Column("body_sealed", sa.LargeBinary, nullable=False),
    Column("quoted", sa.JSON(none_as_null=True)),  # where in the body others' words stand, as pairs of places
    # The words for which the second reader took it for danger, sealed as it is; none are sealed too, and as long.
    Column("doubt_sealed", sa.LargeBinary),
    Column("media", sa.SmallInteger, nullable=False),
    Column("reading_sealed", sa.LargeBinary, nullable=False),  # what it was taken to mean, and by which rules
    Column("lexicon", sa.String(32), nullable=False),
    Column("heard_by", sa.String(8), nullable=False),  # callback or list
    Column("sent_at", Instant, nullable=False),  # by Twilio's clock where we know it
    Column("received_at", Instant, nullable=False),
    Column("mark_sealed", sa.LargeBinary),  # what a clinician said of it: was it danger?
    _one_of("heard_by", ("callback", "list"), "heard_by"),
    Index("ix_replies_number_id", "number_id", "received_at"),
    Index("ix_replies_received_at", "received_at", "id"),
)

# Something a person must do. Its id is the number people call it by, so it counts from 1.
tasks = Table(
    "tasks",
    metadata,
    Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("kind", sa.String(24), nullable=False),
    Column("key", sa.String(200), nullable=False),
    Column("urgency", sa.String(8), nullable=False),
    Column("patient_id", ForeignKey("patients.id")),
    Column("number_id", ForeignKey("numbers.id")),
    Column("plan_id", ForeignKey("plans.id")),
    Column("appointment_id", ForeignKey("appointments.id")),
    Column("text_id", ForeignKey("texts.id")),
    Column("opened_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("owner", sa.String(64)),
    Column("acknowledged_at", Instant),
    Column("closed_at", Instant),
    Column("outcome", sa.String(24)),
    # Paging: how often the alarm was rung, since when it rings, how far it escalated, and when the next step is due.
    Column("rings", sa.SmallInteger, nullable=False),
    Column("rung_at", Instant),
    Column("step", sa.SmallInteger, nullable=False),
    Column("escalates_at", Instant),
    _one_of("urgency", ("urgent", "soon", "normal"), "urgency"),
    CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="outcome"),
    _partial_index("uq_tasks_open", "key", where="closed_at IS NULL", unique=True),
    _partial_index("ix_tasks_open", "due_at", where="closed_at IS NULL"),
    _partial_index("ix_tasks_escalating", "escalates_at", where="escalates_at IS NOT NULL"),
    Index("ix_tasks_key", "key"),
    Index("ix_tasks_patient_id", "patient_id"),
    Index("ix_tasks_number_id", "number_id"),
)

# The story of a task, append-only.
task_events = Table(
    "task_events",
    metadata,
    _id(),
    Column("task_id", ForeignKey("tasks.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("what", sa.String(40), nullable=False),
    Column("who", sa.String(64), nullable=False),
    Column("reply_id", ForeignKey("replies.id")),
    Column("text_id", ForeignKey("texts.id")),
    Column("detail", sa.String(200)),  # in the clear: nothing personal
    Column("note_sealed", sa.LargeBinary),
    Index("ix_task_events_task_id", "task_id"),
    _partial_index("ix_task_events_reply_id", "reply_id", where="reply_id IS NOT NULL"),
)

# One call of one person on call, repeated until their service takes it. Holds a name of the rota, no address.
pages = Table(
    "pages",
    metadata,
    _id(),
    Column("task_id", ForeignKey("tasks.id"), nullable=False),
    Column("ring", sa.SmallInteger, nullable=False),
    Column("step", sa.SmallInteger, nullable=False),
    Column("contact", sa.String(80), nullable=False),
    Column("due_at", Instant, nullable=False),  # when to try next
    Column("tries", sa.SmallInteger, nullable=False),
    Column("accepted_at", Instant),
    Column("dropped_at", Instant),  # no one is to be called any more: acknowledged, or off the rota
    UniqueConstraint("task_id", "ring", "step", "contact"),
    _partial_index("ix_pages_open", "due_at", where="accepted_at IS NULL AND dropped_at IS NULL"),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("name", sa.String(32), primary_key=True),
    Column("last_success", Instant),
    Column("last_error_at", Instant),
    Column("last_error", sa.String(200)),
)

# A process that is at work: seen every few seconds, gone with its end. Its sealing keys stand by id and a check value
# each (`Ring.announced`), so that `keys rotate` knows who could not open what it seals again.
processes = Table(
    "processes",
    metadata,
    _id(),
    Column("kind", sa.String(8), nullable=False),
    Column("host", sa.String(64), nullable=False),
    Column("pid", sa.Integer, nullable=False),
    Column("sealing_keys", sa.JSON, nullable=False),  # pairs of id and check value, the one that seals first
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
)

# A peer that says whom it speaks for and is believed in nothing (`web.proxies`), so that everyone behind it has one
# address. Its own address is a proxy's; those it named are not kept.
forwarders = Table(
    "forwarders",
    metadata,
    Column("peer", sa.String(45), primary_key=True),
    Column("header", sa.String(24), nullable=False),
    Column("seen_at", Instant, nullable=False),
)

# How many texts there are, by the hour (counted from 1970) in which their window opens: what the log's facets and the
# charts are added up from. Code 0 counts every text, any other those that met it. Kept whole hours at a time.
tallies = Table(
    "tallies",
    metadata,
    Column("hour", sa.Integer, primary_key=True, autoincrement=False),
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("class", sa.String(8), primary_key=True),
    Column("state", sa.String(11), primary_key=True),
    Column("reason", sa.String(12), primary_key=True),  # empty for none
    Column("code", sa.Integer, primary_key=True, autoincrement=False),
    Column("many", sa.Integer, nullable=False),
    Column("segments", sa.Integer, nullable=False),
)

# What else is counted by the hour: how long texts took to be handed over (`lag`) and Twilio to say how they ended
# (`word`), each by the seconds that are not exceeded.
figures = Table(
    "figures",
    metadata,
    Column("hour", sa.Integer, primary_key=True, autoincrement=False),
    Column("site_id", ForeignKey("sites.id"), primary_key=True),
    Column("what", sa.String(8), primary_key=True),
    Column("name", sa.String(16), primary_key=True),
    Column("many", sa.Integer, nullable=False),
)

# Replies by meaning, counted by the hour in which they came: sealed, since an hour may hold one reply.
reply_counts = Table(
    "reply_counts",
    metadata,
    _id(),
    Column("hour", sa.Integer, nullable=False),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("counts_sealed", sa.LargeBinary, nullable=False),
    UniqueConstraint("hour", "site_id"),
)

# When each hour was counted last.
tallied = Table(
    "tallied",
    metadata,
    Column("hour", sa.Integer, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
)

# Moments of the whole database: the last backup, and where it was restored from.
marks = Table(
    "marks",
    metadata,
    Column("name", sa.String(16), primary_key=True),
    Column("at", Instant, nullable=False),
)

# The fingerprint of the shape that `migrate` gave this database, for each revision it was brought to, and the version
# of the program that did it.
shapes = Table(
    "shapes",
    metadata,
    Column("revision", sa.String(32), primary_key=True),
    Column("fingerprint", sa.String(64), nullable=False),
    Column("version", sa.String(16), nullable=False),
    Column("made_at", Instant, nullable=False),
)

# After a restore: texts that may have gone since the backup. Twilio is asked for them before they go.
doubts = Table(
    "doubts",
    metadata,
    Column("text_id", ForeignKey("texts.id"), primary_key=True),
    Column("number_id", ForeignKey("numbers.id"), nullable=False),
    Column("looks", sa.SmallInteger, nullable=False),
    Column("look_at", Instant),  # None: it was looked for often enough
    Column("cleared", sa.Boolean, nullable=False),  # it did not go; else, once it is looked for no more, a person says
    _partial_index("ix_doubts_open", "look_at", where="look_at IS NOT NULL"),
    Index("ix_doubts_number_id", "number_id"),
)

# Staff. Their names are no secret of a patient, so they stand in the clear; what would let someone in does not.
staff = Table(
    "staff",
    metadata,
    _id(),
    Column("login", sa.String(64), nullable=False, unique=True),  # folded: an e-mail address or a short name
    Column("name", sa.String(80), nullable=False),
    Column("password", sa.String(200)),  # an argon2id hash; None until the invitation is taken up
    Column("totp_sealed", sa.LargeBinary),  # the second factor's secret
    Column("totp_step", sa.BigInteger),  # the last step that was used: a code is good once
    Column("enrolled_at", Instant),  # since when the second factor is in use
    Column("invited", sa.String(64)),  # fingerprint of the invitation's or the reset's token
    Column("invited_until", Instant),
    Column("shortcuts", sa.Boolean, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("seen_at", Instant),
    Column("ended_at", Instant),
)

# What someone may do, and where. A grant without a site holds at every site, also at those to come.
grants = Table(
    "grants",
    metadata,
    _id(),
    Column("staff_id", ForeignKey("staff.id"), nullable=False),
    Column("site_id", ForeignKey("sites.id")),
    Column("role", sa.String(12), nullable=False),
    UniqueConstraint("staff_id", "site_id"),
    _partial_index("uq_grants_everywhere", "staff_id", where="site_id IS NULL", unique=True),
    _one_of("role", ("coordinator", "clinician", "ops", "admin", "read_only"), "role"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    _id(),
    Column("staff_id", ForeignKey("staff.id"), nullable=False),
    Column("fingerprint", sa.String(64), nullable=False),
    Column("used_at", Instant),
    UniqueConstraint("staff_id", "fingerprint"),
)

# Someone signed in at a browser. Only a fingerprint of the cookie's token is kept.
sign_ins = Table(
    "sign_ins",
    metadata,
    _id(),
    Column("token", sa.String(64), nullable=False, unique=True),
    Column("staff_id", ForeignKey("staff.id"), nullable=False),
    Column("where", sa.String(45)),  # the address it came from
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("proved_at", Instant),  # when the second factor was shown; until then nothing else may be done
    Column("ended_at", Instant),
    Index("ix_sign_ins_staff_id", "staff_id"),
)

# Wrong tries to sign in, by what was tried and from where: fingerprints, since a login may be a mistyped password.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    _id(),
    Column("source", sa.String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_sign_in_failures_source", "source", "at"),
    Index("ix_sign_in_failures_at", "at"),
)

# Another program's right to ask. The key itself is shown once and never kept.
api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    Column("name", sa.String(80), nullable=False),
    Column("prefix", sa.String(12), nullable=False, unique=True),
    Column("secret", sa.String(64), nullable=False),  # a fingerprint
    Column("scopes", sa.JSON, nullable=False),
    Column("site_id", ForeignKey("sites.id")),  # None: every site
    Column("made_by", ForeignKey("staff.id")),  # ended with them
    Column("made_at", Instant, nullable=False),
    Column("seen_at", Instant),
    Column("expires_at", Instant),
    Column("ended_at", Instant),
    # One bucket a key: how many requests it may still make, and as of when.
    Column("allowance", sa.Float, nullable=False, server_default="0"),
    Column("counted_at", Instant),
)

# What was answered to a request that carried an Idempotency-Key, for as long as it may be repeated.
api_answers = Table(
    "api_answers",
    metadata,
    _id(),
    Column("api_key_id", ForeignKey("api_keys.id"), nullable=False),
    Column("key", sa.String(128), nullable=False),
    Column("request", sa.String(64), nullable=False),  # a fingerprint of method, path and body
    Column("status", sa.SmallInteger),  # None: it is being done
    Column("body_sealed", sa.LargeBinary),
    Column("made_at", Instant, nullable=False),
    UniqueConstraint("api_key_id", "key"),
    Index("ix_api_answers_made_at", "made_at"),
)

# A plan that someone has begun to enter. It is no one's plan yet, so the sealing keys seal it.
drafts = Table(
    "drafts",
    metadata,
    _id(),
    Column("staff_id", ForeignKey("staff.id"), nullable=False),
    Column("site_id", ForeignKey("sites.id"), nullable=False),
    Column("fields_sealed", sa.LargeBinary, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Index("ix_drafts_staff_id", "staff_id", "changed_at"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    Column("at", Instant, nullable=False),
    Column("who", sa.String(64), nullable=False),
    Column("what", sa.String(64), nullable=False),
    Column("table", sa.String(32), nullable=False),
    Column("row_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
    Column("site_id", ForeignKey("sites.id")),
    Column(
        "patient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    ),  # whose sealed values were read or changed
    Column("where", sa.String(45)),  # the address it came from
    Column("before_sealed", sa.LargeBinary),
    Column("after_sealed", sa.LargeBinary),
    # A digest of both values, each with chance added, so that it tells nothing once they are gone (`audit_log.note`).
    Column("said", sa.LargeBinary(32)),
    # Its place in the chain and its hash over itself and the row before, once the chain job has come by.
    Column("place", sa.BigInteger, unique=True),
    Column("hash", sa.LargeBinary(32)),
    Index("ix_audit_row", "table", "row_id"),
    _partial_index("ix_audit_patient", "patient_id", "id", where="patient_id IS NOT NULL"),
    _partial_index("ix_audit_unchained", "id", where="place IS NULL"),
    Index("ix_audit_who", "who", "id"),
)
