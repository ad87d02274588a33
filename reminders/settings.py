"""`settings.toml` + environment → one frozen `Settings`. An unknown key is an error that names it and where it stands.

Order, strongest first: environment (`REMINDERS_<TABLE>__<KEY>`, `DATABASE_URL`, `PORT`), then `settings.toml` in the
working directory or the file named by `REMINDERS_SETTINGS`, then the defaults written here. Secrets come from the
environment only, each also as `…_FILE`; so do the addresses of on-call, unless they lead to this machine.
"""

import ipaddress
import json
import logging
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from reminders import plans, wording

if TYPE_CHECKING:
    from apprise.plugins.base import NotifyBase

PREFIX = "REMINDERS_"


class SettingsError(Exception):
    """A wrong setting. The message names the key and the file or variable it came from, and what would be right."""


def _lead(text: str) -> str:
    return str(plans.Lead.parse(text))


def _zone(name: str) -> str:
    try:
        return plans.read_zone(name)
    except plans.UnfitError as problem:
        msg = f"{name!r} {problem}"
        raise ValueError(msg) from None


def _wall_time(value: object) -> time:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", value.strip()):
        hours, minutes = map(int, value.split(":"))
        if hours < 24 and minutes < 60:
            return time(hours, minutes)
    if isinstance(value, time) and value == time(value.hour, value.minute):  # TOML's own way of writing one
        return value
    msg = f"{value!r} is no wall-clock time in whole minutes, such as 20:00"
    raise ValueError(msg)


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        msg = "give scheme and host, such as https://texts.example.org"
        raise ValueError(msg)
    if "_" in parts.hostname:
        msg = "Twilio refuses host names with an underscore (error 21609)"
        raise ValueError(msg)
    return url.rstrip("/")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        msg = "must be IP addresses, such as 10.0.0.7"
        raise ValueError(msg) from None


def _watcher(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        msg = "must be IP addresses or networks, such as 10.0.0.9 or 10.1.0.0/16"
        raise ValueError(msg) from None
    this_machine = ipaddress.ip_network("127.0.0.0/8" if network.version == 4 else "::1/128")
    if network.overlaps(this_machine):
        msg = "must not hold this machine itself: it may ask anyway, and what a proxy here passes on must not"
        raise ValueError(msg)
    return str(network)


def _alias(alias: str) -> str:
    if problems := wording.check_alias(alias):
        raise ValueError("; ".join(problems))
    return alias


def _e164(number: str) -> str:
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        msg = "must be a phone number with + and country code and nothing else, such as +12025550100"
        raise ValueError(msg)
    return number


def _sender(address: str) -> str:
    if re.fullmatch(r"MG[0-9a-f]{32}", address):
        return address
    try:
        return _e164(address)
    except ValueError as problem:
        msg = f"{problem}; or a messaging service, MG and 32 hexadecimal digits"
        raise ValueError(msg) from None


def _site_key(key: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", key):
        msg = "must be small letters, digits and hyphens, 32 at most"
        raise ValueError(msg)
    return key


def _region(code: str) -> str:
    if not re.fullmatch(r"[A-Z]{2}", code):
        msg = "must be a country code of two capital letters, such as US"
        raise ValueError(msg)
    return code


def _country(code: str) -> str:
    if code not in SUPPORTED_REGIONS:
        msg = f"{code!r} is no country code of ISO 3166, such as US or CA"
        raise ValueError(msg)
    return code


def _database_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"} and rest:
        return url
    if scheme in {"sqlite", "sqlite+pysqlite"} and rest.startswith("/") and _sqlite_file(url).name:
        if ":memory:" in rest or "mode=memory" in rest:
            msg = "must be a file, since several processes share it, such as sqlite:///reminders.db"
            raise ValueError(msg)
        return url
    msg = "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    raise ValueError(msg)


def _sqlite_file(url: str) -> Path:
    return Path(url.partition("://")[2].partition("?")[0].removeprefix("/"))


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _file_or_https(place: str) -> str:
    if not place or ("://" in place and not (place.startswith("https://") and urlsplit(place).hostname)):
        raise ValueError("must be a file, or an address that begins with https://")
    return place


def _beat(url: str) -> str:
    parts = urlsplit(url)
    is_ours = parts.scheme == "http" and _is_on_this_machine(url)
    if not (parts.hostname and (parts.scheme == "https" or is_ours)) or parts.query or parts.fragment:
        raise ValueError("must be an https address, or an http one on this machine, without ? and #")
    return url.rstrip("/")


def _recipient(text: str) -> str:
    if not re.fullmatch(r"age1[a-z0-9]{58}", text):
        raise ValueError("must be recipients of age, age1… (`reminders keys make --backup` prints one)")
    return text


def _days(value: object) -> frozenset[int]:
    """ISO weekdays from "mon-fri", "sat,sun" or ["mon", "wed-fri"]; a range may go over the end of the week."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError('must be days, such as "mon-fri" or ["sat", "sun"]')
    found: set[int] = set()
    for part in filter(None, (part.strip().lower() for part in parts)):
        first, _, last = (piece.strip() for piece in part.partition("-"))
        if first not in _DAYS or (last or first) not in _DAYS or part.endswith("-"):
            msg = f"{part!r} is no day: write {', '.join(_DAYS)}, or a range such as mon-fri"
            raise ValueError(msg)
        start = _DAYS.index(first)
        length = (_DAYS.index(last or first) - start) % 7 + 1
        found |= {(start + step) % 7 + 1 for step in range(length)}
    return frozenset(found)


def messenger(address: str) -> "NotifyBase | None":
    """Apprise's way to one page address, or None where it knows no such address. Nothing is called yet.

    Whatever the address says of it, it tries once, a failure is a failure, and a redirect is one too: it mostly leads
    to a page that asks for a password. The libraries behind it log addresses and texts, so they are kept silent.
    """
    for name in ("apprise", "urllib3", "urllib3.connectionpool", "requests_oauthlib", "oauthlib"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(
        app_id="Reminders", app_desc="Reminders", secure_logging=True, service_timeout=0, allow_templates=False
    )
    try:
        found = Apprise.instantiate(address, asset=asset)
    except Exception:  # ruff: ignore[blind-except]  a service that cannot read it; what it says may hold the address
        return None
    if found is not None:
        found.retry, found.optional, found.redirects = 0, False, False
    return found


_WEBHOOKS = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})


def is_webhook_here(service: "NotifyBase") -> bool:
    """Whether a page by `service` stays on this machine: a plain webhook to it (elsewhere a host may be a token)."""
    return service.schema in _WEBHOOKS and _is_on_this_machine(f"http://{service.host}".lower())


LeadText = Annotated[str, AfterValidator(_lead)]
WallTime = Annotated[time, BeforeValidator(_wall_time)]
Days = Annotated[frozenset[int], BeforeValidator(_days)]
Zone = Annotated[str, AfterValidator(_zone)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
E164 = Annotated[str, AfterValidator(_e164)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(_Table):
    """Where everything stands."""

    url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///reminders.db"
    client_folder: Path | None = None
    fast_path: bool = True


class TwilioSettings(_Table):
    """How Twilio is reached. While `live` is false only `api_base_url`, on this machine, is ever called.

    `phones_url` is where the simulator's pretend phones answer, for the page that shows them.
    """

    live: bool = False
    api_base_url: WebAddress = "http://127.0.0.1:4010"
    phones_url: WebAddress = "http://127.0.0.1:4011"
    sender: Annotated[str, AfterValidator(_sender)] = "+15005550006"
    segments_per_second: Annotated[float, Field(ge=0, le=2000)] = 10
    segments_per_day: Annotated[int, Field(ge=0)] = 0
    in_flight: Annotated[int, Field(ge=1, le=500)] = 50
    deadline_seconds: Annotated[float, Field(gt=0, le=300)] = 30
    answers_keywords: bool = True


class WebSettings(_Table):
    """Where the web process listens, the address Twilio knows it by, how long a sign-in holds, how often a key asks.

    A sign-in ends after `idle_minutes` without a request, and at the latest after `longest_hours` (45 CFR 164.312
    (a)(2)(iii), automatic logoff). `proxies` are the addresses of our own proxies, whose X-Forwarded-For is believed.
    `demo` lets anyone at this machine in, as one of the demo's staff. `api_per_minute` is for each API key,
    `previews_per_minute` for each key and member of staff. `monitors` are addresses and networks that may ask /statusz
    and /metrics, besides this machine and those with the token. `tries_per_login` wrong sign-ins from one address, and
    `tries_per_address` of all logins, are free before one must wait. `api_bytes` and `webhook_bytes` are the largest
    bodies.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    public_url: WebAddress = "http://127.0.0.1:8000"
    idle_minutes: Annotated[int, Field(ge=1, le=60)] = 15
    longest_hours: Annotated[int, Field(ge=1, le=24)] = 12
    proxies: tuple[Annotated[str, AfterValidator(_address)], ...] = ()
    monitors: tuple[Annotated[str, AfterValidator(_watcher)], ...] = ()
    demo: bool = False
    api_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 600
    previews_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 120
    tries_per_login: Annotated[int, Field(ge=3, le=20)] = 5
    tries_per_address: Annotated[int, Field(ge=5, le=1000)] = 20
    api_bytes: Annotated[int, Field(ge=100_000, le=10_000_000)] = 1_000_000
    webhook_bytes: Annotated[int, Field(ge=16_384, le=1_048_576)] = 65_536


class SendingSettings(_Table):
    """The rules of sending. Seconds are seconds; wall-clock times are the reader's.

    `countries` are those whose numbers may be texted (ISO 3166); none means the site's region alone.
    """

    leads: tuple[LeadText, ...] = ("3d@17:00", "1d@17:00", "2h")
    series_leads: tuple[LeadText, ...] = ("1d@17:00",)
    quiet_hours: tuple[WallTime, WallTime] = (time(20), time(9))
    per_day: Annotated[int, Field(ge=1, le=10)] = 1
    per_week: Annotated[int, Field(ge=1, le=70)] = 7
    welcome: bool = True
    horizon_days: Annotated[int, Field(ge=1, le=400)] = 60
    lease_seconds: Annotated[float, Field(gt=0)] = 120
    settle_seconds: Annotated[float, Field(gt=0)] = 300
    on_unknown: Literal["look-up", "never-resend"] = "look-up"
    backlog: Annotated[int, Field(ge=0)] = 200
    countries: tuple[Annotated[str, AfterValidator(_country)], ...] = ()
    samples_per_day: Annotated[int, Field(ge=0, le=1000)] = 10
    price_per_segment: Annotated[float, Field(ge=0, le=10)] | None = None
    budget_per_month: Annotated[float, Field(gt=0)] | None = None


class JobSettings(_Table):
    """The interval of each job, in seconds, the folder watched for plan files, where the audit's head is kept, and the
    address that is told that the service works (`heartbeat_url`). A worker shows its metrics at `metrics_port`; 0: not.
    """

    send_seconds: Annotated[float, Field(gt=0)] = 5
    settle_seconds: Annotated[float, Field(gt=0)] = 30
    plan_seconds: Annotated[float, Field(gt=0)] = 900
    import_seconds: Annotated[float, Field(gt=0)] = 60
    ask_seconds: Annotated[float, Field(gt=0)] = 300
    poll_seconds: Annotated[float, Field(gt=0, le=600)] = 60
    page_seconds: Annotated[float, Field(gt=0, le=60)] = 5
    watch_seconds: Annotated[float, Field(gt=0)] = 300
    tally_seconds: Annotated[float, Field(gt=0)] = 60
    chain_seconds: Annotated[float, Field(gt=0)] = 60
    health_seconds: Annotated[float, Field(gt=0, le=300)] = 30
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    import_folder: Path | None = None
    audit_head: Annotated[str, AfterValidator(_file_or_https)] | None = None
    heartbeat_url: Annotated[str, AfterValidator(_beat)] | None = None


@dataclass(frozen=True)
class _FromEnvironment:
    """An entry of a rota that the environment holds, where an address with its secret may stand."""

    entry: object


def _entries_from_environment(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [_FromEnvironment(one) for one in value]


class OnCall(_Table):
    """One contact of the rota (C-8): whom to page, by which address, and in which hours of the site.

    Written as an address alone, which is on call always, or as a table. `page_env` names the environment variable
    (also as `…_FILE`) that holds the address; it is read at once, so that `page` always is the address.
    """

    name: Annotated[str, Field(min_length=1)] | None = None
    page: Annotated[str, Field(repr=False)]
    days: Days = frozenset(range(1, 8))
    hours: tuple[WallTime, WallTime] = (time(0), time(0))
    supervisor: bool = False

    @model_validator(mode="before")
    @classmethod
    def _with_its_address(cls, entry: object, info: ValidationInfo) -> object:
        is_from_environment = isinstance(entry, _FromEnvironment)
        if isinstance(entry, _FromEnvironment):
            entry = entry.entry
        if isinstance(entry, OnCall):
            return entry
        if isinstance(entry, str):
            entry = {"page": entry}
        if not isinstance(entry, Mapping):
            raise ValueError(  # ruff: ignore[type-check-without-type-error]  pydantic tells a ValueError to the reader
                "must be an address, or a table such as { name = …, page_env = …, days = …, hours = … }"
            )
        values, context = dict(entry), info.context or {}
        variable = values.pop("page_env", None)
        if (variable is None) == (values.get("page") is None):
            raise ValueError("give either page_env, the environment variable that holds the address, or page itself")
        if variable is not None:
            values["page"] = _page_variable(variable, context.get("environ", os.environ))
        if isinstance(address := values["page"], str):
            service = messenger(address)
            if service is None:
                msg = f"{variable or 'page'} holds no address that apprise knows, such as mailto://… or json://…"
                raise ValueError(msg)
            is_in_file = context.get("from_file") and not is_from_environment
            if variable is None and is_in_file and not is_webhook_here(service):
                raise ValueError(
                    "an address holds a secret: put it into the environment and name the variable in page_env; only a"
                    " webhook on this machine (json://127.0.0.1:9000/) may stand in a file"
                )
        return values

    @model_validator(mode="after")
    def _ever_called(self) -> Self:
        if not self.days and not self.supervisor:
            raise ValueError("days names no day; only a supervisor may be without")
        return self


def _page_variable(name: object, environ: Mapping[str, str]) -> str:
    if not isinstance(name, str) or not re.fullmatch(rf"(?!{PREFIX})[A-Za-z_][A-Za-z0-9_]*", name):
        msg = f"page_env must be the name of an environment variable, such as ONCALL_1, and not begin with {PREFIX}"
        raise ValueError(msg)
    try:
        address = _secret(environ, name)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    if address is None:
        msg = f"the environment sets neither {name} nor {name}_FILE, which page_env names"
        raise ValueError(msg)
    return address


class HealthSettings(_Table):
    """The thresholds of the health rules (docs/monitoring.md).

    `late_runs` of a job may fail or be missed. A text may be overdue for `overdue_minutes`. A sender may rest `rests`
    times in a row. Of the `last` texts that Twilio took, and of its last answers, the shares may be undelivered,
    filtered or unknown, and below `least` of them nothing is said. Twilio may be silent for `silent_minutes` after it
    took a text, the list of texts to us may fail for `inbound_minutes`, a page may be tried `page_tries` times. A
    backup holds for `backup_hours`, a certificate must hold for `certificate_days` more. The disk needs `disk_mb`, and
    the clock may be `clock_seconds` off.
    """

    late_runs: Annotated[float, Field(ge=2, le=100)] = 3
    overdue_minutes: Annotated[float, Field(ge=1, le=1440)] = 5
    rests: Annotated[int, Field(ge=1, le=20)] = 4
    last: Annotated[int, Field(ge=10, le=10_000)] = 100
    least: Annotated[int, Field(ge=1, le=1000)] = 5
    undelivered_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    filtered_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    unknown_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    silent_minutes: Annotated[float, Field(ge=1, le=1440)] = 10
    inbound_minutes: Annotated[float, Field(ge=1, le=1440)] = 10
    page_tries: Annotated[int, Field(ge=1, le=100)] = 3
    backup_hours: Annotated[float, Field(gt=0, le=720)] = 26
    disk_mb: Annotated[float, Field(ge=1)] = 500
    clock_seconds: Annotated[float, Field(gt=0, le=60)] = 2
    certificate_days: Annotated[float, Field(ge=0, le=90)] = 14


class LoggingSettings(_Table):
    """What web process and worker write to stderr: lines of words or of JSON, from which level on, and whether a line
    for each request, with its route and never its address.
    """

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
    access: bool = False


class SiteSettings(_Table):
    """The default site. `on_call` are paged for people in danger, `on_call_ops` for faults of the service; where no one
    is named for those, `on_call` are.
    """

    key: Annotated[str, AfterValidator(_site_key)] = "main"
    alias: Annotated[str, AfterValidator(_alias)] = "Oak Street Office"
    phone: E164 = "+12025550100"
    line24: E164 = "+12025550101"
    zone: Zone = "America/New_York"
    region: Annotated[str, AfterValidator(_region)] = "US"
    on_call: tuple[OnCall, ...] = ()
    on_call_ops: tuple[OnCall, ...] = ()
    closures: tuple[date, ...] = ()


class SitesSettings(_Table):
    """What the sites are to one another. Unless `one_program`, each is a Part 2 program of its own: no look-up says
    anything of a number that only another site texts. What a number itself asks for (its STOP, its caps) holds for all.
    """

    one_program: bool = False


class RetentionSettings(_Table):
    """How long the words of texts, receipts and replies are kept. Replies are read beside what was said lately, so it
    is a month at the least.
    """

    words_days: Annotated[int, Field(ge=30, le=3650)] = 90


class BackupSettings(_Table):
    """For whom backups are sealed: recipients of age (`age1…`). None: a backup stands as the database does."""

    recipients: tuple[Annotated[str, AfterValidator(_recipient)], ...] = ()


class GoLiveSettings(_Table):
    """What must be on record before the first real text (L-30, L-39b, L-45)."""

    baa_on: date | None = None
    qsoa_on: date | None = None
    campaign_on: date | None = None
    consent_wording: str | None = None


class Settings(_Table):
    """All settings; `source` is the file they were read from, if any."""

    database: DatabaseSettings = DatabaseSettings()
    twilio: TwilioSettings = TwilioSettings()
    web: WebSettings = WebSettings()
    sending: SendingSettings = SendingSettings()
    jobs: JobSettings = JobSettings()
    health: HealthSettings = HealthSettings()
    logging: LoggingSettings = LoggingSettings()
    site: SiteSettings = SiteSettings()
    sites: SitesSettings = SitesSettings()
    backup: BackupSettings = BackupSettings()
    retention: RetentionSettings = RetentionSettings()
    go_live: GoLiveSettings = GoLiveSettings()
    source: Path | None = None

    @property
    def our_lines(self) -> frozenset[str]:
        """The phones and the sender that the settings name: no patient has one of them."""
        return frozenset({self.site.phone, self.site.line24, self.twilio.sender})

    @model_validator(mode="after")
    def _agree_with_each_other(self) -> Self:
        if problems := list(self._contradictions()):
            raise PydanticCustomError("contradiction", "", {"problems": problems})
        return self

    def _contradictions(self) -> Iterator[tuple[str, str, str]]:
        """(table, key, what is wrong) for each value that does not go with another."""
        deadline, sending = self.twilio.deadline_seconds, self.sending
        if sending.lease_seconds < deadline + 5:
            said = f"must be at least twilio.deadline_seconds + 5, that is {deadline + 5:g}"
            yield "sending", "lease_seconds", said
        if sending.settle_seconds <= deadline:
            yield "sending", "settle_seconds", f"must be more than twilio.deadline_seconds, that is {deadline:g}"
        for key in ("leads", "series_leads"):
            for text in getattr(sending, key):
                lead = plans.Lead.parse(text)
                if max(timedelta(days=lead.days), lead.before or timedelta(0)) > timedelta(days=sending.horizon_days):
                    said = f"{text} is further ahead than sending.horizon_days, {sending.horizon_days}"
                    yield "sending", key, said
        for key in ("api_base_url", "phones_url"):
            if not self.twilio.live and not _is_on_this_machine(getattr(self.twilio, key)):
                said = "must be on this machine (127.0.0.1 or localhost) while twilio.live is false"
                yield "twilio", key, said
        if self.web.demo and self.twilio.live:
            yield "web", "demo", "must be false while twilio.live is true: it lets people in without a password"
        if self.web.demo and not _is_on_this_machine(self.web.public_url):
            yield "web", "demo", "must be false unless web.public_url is on this machine: it asks for no password"
        if self.jobs.import_folder is not None and self.source is not None:
            home = self.source.resolve().parent
            if (home / self.jobs.import_folder).resolve() == home:
                said = f"must be a folder of its own: files are moved out of it, and {self.source.name} is in this one"
                yield "jobs", "import_folder", said


def _is_on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, repr=False)
class Secrets:
    """What only the environment may hold. `repr` shows nothing.

    `sealing_keys` maps key id → 32 bytes, in the order given: the first seals, all open (README.md#settings).
    `made_here` says that keys were generated on this machine, which is fine for a demo and refused when live;
    `new_keys_file` is where they are kept if that happened just now, so that a person can be told. Who says
    `monitor_token` may ask /statusz and /metrics from anywhere.
    """

    account_sid: str
    auth_token: str
    api_key: str | None
    api_secret: str | None
    secret_key: str
    sealing_keys: Mapping[str, bytes]
    made_here: bool
    new_keys_file: Path | None = None
    monitor_token: str | None = None

    @cached_property
    def first_sealing_key(self) -> str:
        """The id of the key that seals."""
        return next(iter(self.sealing_keys))


def load(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Read the settings that hold for this process.

    `environ` and `folder` default to the process's own. Raises SettingsError naming every wrong key at once.
    """
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder
    named = environ.get("REMINDERS_SETTINGS")
    path = folder / (named or "settings.toml")
    values: dict[str, Any] = {}
    if named or path.exists():
        values = _read_file(path)
    from_environment = _read_environment(environ, values)
    for (table, key), (_, value) in from_environment.items():
        values.setdefault(table, {})
        if isinstance(values[table], dict):  # else it is reported below
            values[table][key] = _entries_from_environment(value) if key in _ROTAS else value
    context = {"environ": environ, "from_file": True}
    try:
        return Settings.model_validate({**values, "source": path if path.exists() else None}, context=context)
    except ValidationError as error:
        origins = {place: variable for place, (variable, _) in from_environment.items()}
        raise SettingsError("\n".join(_explain(error.errors(), path, origins))) from None


def origin(settings: Settings, table: str, key: str, environ: Mapping[str, str] | None = None) -> str:
    """Where the value of a setting comes from: the name of the environment variable or of the file, or `default`."""
    written = _read_file(settings.source) if settings.source is not None else {}
    variable = _read_environment(os.environ if environ is None else environ, written).get((table, key))
    if variable is not None:
        return variable[0]
    if settings.source is not None and key in written.get(table, {}):
        return settings.source.name
    return "default"


def in_force(settings: Settings, environ: Mapping[str, str] | None = None) -> Iterator[tuple[str, Any, str]]:
    """Every setting: its name, its value as JSON has it, and where it comes from. What is secret in a value is `***`.

    The secrets follow, each as `set` or None.
    """
    environ = os.environ if environ is None else environ
    written = _read_file(settings.source) if settings.source is not None else {}
    variables = _read_environment(environ, written)
    for table in _TABLES:
        shown = getattr(settings, table).model_dump(mode="json", exclude=set(_ROTAS))
        if table == "site":
            for rota in _ROTAS:
                shown[rota] = [_without_address(contact) for contact in getattr(settings.site, rota)]
        for key, value in shown.items():
            place = variables.get((table, key), ("", None))[0]
            if not place:
                place = str(settings.source) if key in written.get(table, {}) else "default"
            yield f"{table}.{key}", _without_secrets(key, value), place
    for name in _SECRETS:
        found = next((given for given in (name, f"{name}_FILE") if environ.get(given)), None)
        yield name, "set" if found else None, found or "not set"


def _without_address(contact: OnCall) -> dict[str, Any]:
    """A contact of the rota; its address mostly is a secret."""
    days = [name for day, name in enumerate(_DAYS, 1) if day in contact.days]
    hours = [f"{at:%H:%M}" for at in contact.hours]
    return {"name": contact.name, "page": "***", "days": days, "hours": hours, "supervisor": contact.supervisor}


def _without_secrets(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_without_secrets(key, one) for one in value]
    if not isinstance(value, str):
        return value
    if re.search(r"token|secret|password|heartbeat", key):
        return "***"
    if re.fullmatch(r"[0-9]{2}:[0-9]{2}:00", value):
        return value[:5]
    return without_password(value) if "://" in value else value


def without_password(url: str) -> str:
    """An address with the password in it, also one among its parameters, as `***`."""
    url = re.sub(r"(?i)([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", r"\1***", url)
    return re.sub(r"(://[^/?@]*?:)[^/?]*(?=@)", r"\1***", url)


def explained(error: ValidationError) -> dict[str, str]:
    """What is wrong with values that came from a form, by field, each as what would be right."""
    found: dict[str, str] = {}
    for one in error.errors():
        place = str(one["loc"][0]) if one["loc"] else ""
        said = _PLAINER.get(one["type"], one["msg"].removeprefix("Value error, "))
        found.setdefault(place, said)
    return found


def on_call(entries: Iterable[str | Mapping[str, object] | OnCall]) -> tuple[OnCall, ...]:
    """Read a rota that comes from elsewhere than the settings. ValueError names every wrong entry, and no address."""
    try:
        return SiteSettings.model_validate({"on_call": tuple(entries)}).on_call
    except ValidationError as error:
        raise ValueError("\n".join(_explain(error.errors(), "the rota", {}))) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"REMINDERS_SETTINGS names {path}, which does not exist") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not in UTF-8; save it again as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    if "source" in values:
        raise SettingsError(f"source: unknown key ({path})")
    return values


_ROTAS = ("on_call", "on_call_ops")
_SECRETS = (
    *("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_API_SECRET"),
    *("REMINDERS_SECRET_KEY", "REMINDERS_SEALING_KEYS", "REMINDERS_MONITOR_TOKEN"),
)

# Secrets and the name of the file share the prefix and are no settings.
_NOT_SETTINGS = frozenset(
    PREFIX + name for base in ("SECRET_KEY", "SEALING_KEYS", "MONITOR_TOKEN") for name in (base, f"{base}_FILE")
) | {PREFIX + "SETTINGS", PREFIX + "TEST_BROWSER"}


def _read_environment(
    environ: Mapping[str, str], written: Mapping[str, Any]
) -> dict[tuple[str, str], tuple[str, object]]:
    """(table, key) → (variable, value). An empty variable counts as one that is not set, as compose files leave it.

    `written` is what the settings file says: a host that it names is not given up for a PORT.
    """
    found: dict[tuple[str, str], tuple[str, object]] = {}
    if url := environ.get("DATABASE_URL"):
        found["database", "url"] = "DATABASE_URL", url
    if port := environ.get("PORT"):
        found["web", "port"] = "PORT", port
        web = written.get("web")
        if not (isinstance(web, dict) and "host" in web):
            everywhere = "0.0.0.0"  # ruff: ignore[hardcoded-bind-all-interfaces]  who sets PORT calls from outside
            found["web", "host"] = "PORT", everywhere
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS or not text.strip():
            continue
        table, _, key = name.removeprefix(PREFIX).lower().partition("__")
        if table not in _TABLES or not key:
            offered = ", ".join(_TABLES)
            raise SettingsError(f"{name}: no such setting; it is {PREFIX}<TABLE>__<KEY>, with tables {offered}")
        value: object = text
        if text.lstrip().startswith("["):
            try:
                value = json.loads(text)
            except ValueError:
                raise SettingsError(f'{name}: lists are written as JSON, such as ["20:00", "09:00"]') from None
        found[table, key] = name, value
    return found


_TABLES = {name: field.annotation for name, field in Settings.model_fields.items() if name != "source"}
_PLAINER = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "date_from_datetime_parsing": "must be a date, such as 2026-11-02",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "string_type": "must be text in quotes",
    "tuple_type": 'must be a list, such as ["20:00", "09:00"]',
}


def _explain(
    problems: list[ErrorDetails], source: Path | str, from_environment: Mapping[tuple[str, str], str]
) -> Iterator[str]:
    """A line for each problem: the key, what is wrong with it, and the file or variable it comes from."""

    def line(where: tuple[str | int, ...], said: str) -> str:
        variable = from_environment.get((str(where[0]), str(where[1]))) if len(where) > 1 else None
        # A list's places are counted as people count.
        name = "".join(f" no. {part + 1}" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")
        return f"{name}: {said} ({variable or source})"

    for problem in problems:
        where, kind = problem["loc"], problem["type"]
        if kind == "contradiction":
            yield from (line((table, key), said) for table, key, said in problem["ctx"]["problems"])
        elif kind == "extra_forbidden":
            yield line(where, f"unknown {'key' if len(where) > 1 else 'table'}{_offer(where)}")
        elif kind in {"model_type", "model_attributes_type"}:
            yield line(where, f"must be a table, [{where[0]}]")
        else:
            plain = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            yield line(where, _PLAINER.get(kind, plain))


def _offer(where: tuple[str | int, ...]) -> str:
    table = _TABLES.get(str(where[0]))
    there: Iterable[str] = table.model_fields if len(where) > 1 and table is not None else _TABLES
    if any(isinstance(part, int) for part in where):  # a list of tables: only the rota
        there = (*OnCall.model_fields, "page_env")
    near = get_close_matches(str(where[-1]), there, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def secrets(settings: Settings, environ: Mapping[str, str] | None = None, *, make: bool = True) -> Secrets:
    """Read the secrets that belong to `settings`.

    In demo and development a missing key is made once and kept beside the database (mode 600); `made_here` then says
    so and the caller warns. With `twilio.live` a missing one is a SettingsError. Without `make` none is kept: where
    there is no database yet the keys are of this process alone, and where there may be one it is a SettingsError.
    """
    environ = os.environ if environ is None else environ
    found = {name: _secret(environ, name) for name in _SECRETS}
    needed = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "REMINDERS_SECRET_KEY", "REMINDERS_SEALING_KEYS")
    missing = [name for name in needed if not found[name]]
    if settings.twilio.live and missing:
        raise SettingsError(f"twilio.live is true, so the environment must set {', '.join(missing)}")
    if bool(found["TWILIO_API_KEY"]) != bool(found["TWILIO_API_SECRET"]):
        raise SettingsError("TWILIO_API_KEY and TWILIO_API_SECRET belong together: set both or neither")
    short = found["REMINDERS_SECRET_KEY"] is not None and len(found["REMINDERS_SECRET_KEY"].encode()) < 32
    if short and settings.twilio.live:
        raise SettingsError("REMINDERS_SECRET_KEY: must be 32 bytes or longer; `reminders keys make --all` makes one")
    token = found["REMINDERS_MONITOR_TOKEN"]
    if token is not None and len(token) < 20:
        raise SettingsError("REMINDERS_MONITOR_TOKEN: must be 20 characters or longer, such as `openssl rand -hex 20`")
    made_here = False
    new_keys_file = None
    if not (found["REMINDERS_SECRET_KEY"] and found["REMINDERS_SEALING_KEYS"]):
        made, new_keys_file = _keys_beside(settings, make=make)
        made_here = True
        found["REMINDERS_SECRET_KEY"] = found["REMINDERS_SECRET_KEY"] or made["REMINDERS_SECRET_KEY"]
        found["REMINDERS_SEALING_KEYS"] = found["REMINDERS_SEALING_KEYS"] or made["REMINDERS_SEALING_KEYS"]
    return Secrets(
        # The simulator's own account: known to everyone, of use to no one.
        account_sid=found["TWILIO_ACCOUNT_SID"] or "AC" + "0" * 32,
        auth_token=found["TWILIO_AUTH_TOKEN"] or "simulator",
        api_key=found["TWILIO_API_KEY"],
        api_secret=found["TWILIO_API_SECRET"],
        secret_key=found["REMINDERS_SECRET_KEY"] or "",
        sealing_keys=_parse_sealing_keys(found["REMINDERS_SEALING_KEYS"] or ""),
        made_here=made_here,
        new_keys_file=new_keys_file,
        monitor_token=token,
    )


def _secret(environ: Mapping[str, str], name: str) -> str | None:
    if value := environ.get(name):
        return value
    if path := environ.get(f"{name}_FILE"):
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{name}_FILE: {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{name}_FILE: {path} is not text in UTF-8") from None
        if not value:
            raise SettingsError(f"{name}_FILE: {path} is empty")
        return value
    return None


def _parse_sealing_keys(text: str) -> dict[str, bytes]:
    import base64
    import binascii

    keys: dict[str, bytes] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key_id, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not key_id or len(key_id) > 32 or not key_id.isascii() or len(key) != 32:
            raise SettingsError("REMINDERS_SEALING_KEYS: write id:key[,id:key…], each key 32 bytes in base64")
        if key_id in keys:
            raise SettingsError(f"REMINDERS_SEALING_KEYS: two keys are called {key_id!r}")
        keys[key_id] = key
    if not keys:
        raise SettingsError("REMINDERS_SEALING_KEYS: no key given")
    return keys


def _keys_beside(settings: Settings, *, make: bool) -> tuple[dict[str, str], Path | None]:
    """The generated keys kept beside the database, and their file if they were made and kept just now."""
    import base64
    import secrets as chance

    url = settings.database.url
    database = _sqlite_file(url) if url.startswith("sqlite") else Path("reminders")
    path = database.with_suffix(".keys")
    made = {
        "REMINDERS_SECRET_KEY": chance.token_urlsafe(32),
        "REMINDERS_SEALING_KEYS": f"{chance.token_hex(3)}:{base64.b64encode(chance.token_bytes(32)).decode()}",
    }
    # A name of its own for each call: two threads of a process may come here at once.
    draft = path.with_suffix(f".{chance.token_hex(8)}.draft")
    try:
        if path.exists():
            return _kept_keys(path), None
        if not make:
            if url.startswith("sqlite") and not database.exists():
                return made, None
            raise SettingsError(
                f"REMINDERS_SECRET_KEY and REMINDERS_SEALING_KEYS are not set, and there is no {path}: bring the keys"
                " of this database back; for a new one run `reminders migrate`, which makes them"
            )
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(made, file)
                file.flush()
                os.fsync(handle)
            # A link fails if the name is taken: of two processes starting together the first one's keys hold, and
            # no one reads a half-written file.
            os.link(draft, path)
        except FileExistsError:
            return _kept_keys(path), None
        finally:
            draft.unlink()
    except OSError as error:
        raise SettingsError(f"{path}: keys cannot be kept beside the database: {error.strerror}") from None
    return made, path


def _kept_keys(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(kept[name]) for name in ("REMINDERS_SECRET_KEY", "REMINDERS_SEALING_KEYS")}
    except (ValueError, KeyError, TypeError):
        raise SettingsError(f"{path}: holds no keys; bring the file back from a backup") from None
