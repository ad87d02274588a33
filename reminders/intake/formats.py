"""Which format a file is in, and all that it says. Pure: bytes and a profile in, a `Reading` out."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from reminders.intake import columns, delimited, directories, workbook
from reminders.intake.arrivals import Agreed, Reading, Trouble, Unreadable
from reminders.intake.files import read_bytes
from reminders.intake.profile import Profile
from reminders.intake.sheets import read_table
from reminders.plans import Known, PlanRefused

MOST_BYTES = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a file is read against: what is known of the site, the source's profile, and the zone of its places.

    `zone` None is not said: a spreadsheet's places are then the site's, and a directory's zone is asked.
    """

    known: Known
    profile: Profile = field(default_factory=Profile)
    zone: str | None = None


def _spreadsheet(raw: bytes, _name: str, given: Given) -> Reading:
    workbook.refuse_other(raw)
    profile = replace(given.profile, zone=given.zone or given.profile.zone)
    if not workbook.is_zip(raw):
        table = delimited.read_delimited(delimited.decode(raw), columns.score)
        if directories.is_tsml(table):
            return directories.read_tsml(table, given.zone)
        return read_table(table, given.known, profile, format="csv")
    refused: Unreadable | None = None
    for table in workbook.tables(raw):
        try:
            return read_table(table, given.known, profile, format="xlsx")
        except Unreadable as problem:
            refused = refused or problem
    raise refused or Unreadable("has no visible sheet with anything in it")


def _plan(raw: bytes, name: str, given: Given) -> Reading:
    suffix = PurePath(name).suffix.lower()
    named = (
        name
        if suffix in {".toml", ".json"}
        else "plan.json"
        if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        else "plan.toml"
    )
    known = replace(given.known, sites=given.known.sites | _sites(raw, named))
    try:
        document = read_bytes(raw, named, known)
    except PlanRefused as refusal:
        return Reading("plan", problems=[Trouble(one.where, one.problem) for one in refusal.problems])
    return Reading("plan", arrivals=[Agreed(place="plan", document=document, zone=given.known.zone)])


def _sites(raw: bytes, name: str) -> frozenset[str]:
    """The site that a plan file names: which sites there are is in a database, and none is asked here."""
    try:
        data = tomllib.loads(raw.decode()) if name.lower().endswith(".toml") else json.loads(raw)
        site = data["plan"]["site"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return frozenset()
    return frozenset({site}) if isinstance(site, str) else frozenset()


def _directory(kind: str | None) -> Callable[[bytes, str, Given], Reading]:
    def reader(raw: bytes, name: str, given: Given) -> Reading:
        if kind == "tsml" and not _is_json(raw):
            return _tsml(raw, name, given)
        data = directories.read_json(raw)
        found = kind if kind not in {None, "tsml"} else directories.kind_of(data)
        if found is None:
            raise Unreadable(_no_directory(data))
        return directories.read_feed(data, found, given.zone)

    return reader


def _no_directory(data: object) -> str:
    if isinstance(data, Mapping) and "resourceType" in data:
        return "is a FHIR resource; FHIR is not read from files, only spreadsheets, plan files and meeting directories"
    if isinstance(data, list) and any(isinstance(one, Mapping) and "key_string" in one for one in data):
        return "is a directory's list of formats, not of its meetings"
    if isinstance(data, Mapping) and "$schema" in data:
        return "describes a format and holds no meetings"
    return "is JSON that is neither a plan nor a directory of meetings"


def _tsml(raw: bytes, _name: str, given: Given) -> Reading:
    workbook.refuse_other(raw)
    return directories.read_tsml(delimited.read_delimited(delimited.decode(raw), columns.score), given.zone)


FORMATS: Mapping[str, Callable[[bytes, str, Given], Reading]] = {
    "csv": _spreadsheet,
    "xlsx": _spreadsheet,
    "plan": _plan,
    "json": _directory(None),
    "meeting-guide": _directory("meeting-guide"),
    "bmlt": _directory("bmlt"),
    "bmlt-tsml": _directory("bmlt-tsml"),
    "tsml": _directory("tsml"),
    "tsml-csv": _tsml,
}
"""The readers by the name that `--as` takes."""


def _is_json(raw: bytes) -> bool:
    return raw[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))


def detect(raw: bytes, name: str) -> str:
    """The format of a file by its content, and by its name where the content leaves it open. Raises Unreadable."""
    if PurePath(name).suffix.lower() == ".toml":
        return "plan"
    if _is_json(raw):
        data = directories.read_json(raw)
        is_plan = (
            isinstance(data, Mapping) and "resourceType" not in data and data.keys() & {"plan", "patient", "series"}
        )
        return "plan" if is_plan else "json"
    return "xlsx" if workbook.is_zip(raw) else "csv"


def read_any(raw: bytes, name: str, given: Given, format_: str | None = None) -> Reading:
    """All that a file says; one that is refused whole is a `Reading` with that one problem."""
    try:
        _check_size(raw)
        return FORMATS[format_ or detect(raw, name)](raw, name, given)
    except Unreadable as refused:
        return Reading(format_ or "none", problems=[Trouble(refused.place, refused.problem)])


def _check_size(raw: bytes) -> None:
    if len(raw) > MOST_BYTES:
        raise Unreadable("is larger than 50 MB; export a shorter time")
    if not raw.strip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0"):
        raise Unreadable("is empty")
