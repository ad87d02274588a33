"""`settings.toml` + environment → one frozen `Settings`. An unknown key is an error that names it and where it stands.

Order, strongest first: environment (`REMINDERS_<TABLE>__<KEY>`, `DATABASE_URL`, `PORT`), then `settings.toml` in the
working directory or the file named by `REMINDERS_SETTINGS`, then the defaults written here. Secrets come from the
environment only, each also as `…_FILE`.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from reminders import plans, wording

PREFIX = "REMINDERS_"


class SettingsError(Exception):
    """A wrong setting. The message names the key and the file or variable it came from, and what would be right."""


def _lead(text: str) -> str:
    return str(plans.Lead.parse(text))


def _zone(name: str) -> str:
    if not plans.is_zone(name):
        msg = f"{name!r} is no IANA time zone, such as America/New_York"
        raise ValueError(msg)
    return name


def _wall_time(value: object) -> object:
    if isinstance(value, str):
        try:
            hours, minutes = value.split(":")
            return time(int(hours), int(minutes))
        except ValueError:
            msg = f"{value!r} is no wall-clock time, such as 20:00"
            raise ValueError(msg) from None
    return value


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        msg = "give scheme and host, such as https://texts.example.org"
        raise ValueError(msg)
    if "_" in parts.hostname:
        msg = "Twilio refuses host names with an underscore (error 21609)"
        raise ValueError(msg)
    return url.rstrip("/")


def _alias(alias: str) -> str:
    if problems := wording.check_alias(alias):
        raise ValueError("; ".join(problems))
    return alias


LeadText = Annotated[str, AfterValidator(_lead)]
WallTime = Annotated[time, BeforeValidator(_wall_time)]
Zone = Annotated[str, AfterValidator(_zone)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
E164 = Annotated[str, Field(pattern=r"^\+[1-9]\d{6,14}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(_Table):
    """Where everything stands."""

    url: str = "sqlite:///reminders.db"


class TwilioSettings(_Table):
    """How Twilio is reached. While `live` is false only `api_base_url`, on this machine, is ever called."""

    live: bool = False
    api_base_url: WebAddress = "http://127.0.0.1:4010"
    sender: Annotated[str, Field(pattern=r"^(\+[1-9]\d{6,14}|MG[0-9a-f]{32})$")] = "+15005550006"
    segments_per_second: Annotated[float, Field(ge=0, le=2000)] = 10
    in_flight: Annotated[int, Field(ge=1, le=500)] = 50
    deadline_seconds: Annotated[float, Field(gt=0, le=300)] = 30


class WebSettings(_Table):
    """Where the web process listens, and the address Twilio knows it by."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    public_url: WebAddress = "http://127.0.0.1:8000"


class SendingSettings(_Table):
    """The house rules of sending. Seconds are seconds; wall-clock times are the reader's."""

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


class JobSettings(_Table):
    """The interval of each job, in seconds, and the folder watched for plan files."""

    send_seconds: Annotated[float, Field(gt=0)] = 5
    settle_seconds: Annotated[float, Field(gt=0)] = 30
    plan_seconds: Annotated[float, Field(gt=0)] = 900
    import_seconds: Annotated[float, Field(gt=0)] = 60
    ask_seconds: Annotated[float, Field(gt=0)] = 300
    import_folder: Path | None = None


class SiteSettings(_Table):
    """The default site."""

    key: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")] = "main"
    alias: Annotated[str, AfterValidator(_alias)] = "Oak Street Office"
    phone: E164 = "+12025550100"
    line24: E164 = "+12025550101"
    zone: Zone = "America/New_York"
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "US"
    on_call: tuple[str, ...] = ()
    closures: tuple[date, ...] = ()


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
    site: SiteSettings = SiteSettings()
    go_live: GoLiveSettings = GoLiveSettings()
    source: Path | None = None

    @model_validator(mode="after")
    def _leases_outlive_calls(self) -> Self:
        deadline = self.twilio.deadline_seconds
        if self.sending.lease_seconds < deadline + 5:
            msg = f"sending.lease_seconds must be at least twilio.deadline_seconds + 5, that is {deadline + 5:g}"
            raise ValueError(msg)
        if self.sending.settle_seconds <= deadline:
            msg = f"sending.settle_seconds must be more than twilio.deadline_seconds, that is {deadline:g}"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, repr=False)
class Secrets:
    """What only the environment may hold. `repr` shows nothing.

    `sealing_keys` maps key id → 32 bytes, in the order given: the first seals, all open (CONTRACT: Settings).
    `made_here` says that keys were generated on this machine, which is fine for a demo and refused when live.
    """

    account_sid: str
    auth_token: str
    api_key: str | None
    api_secret: str | None
    secret_key: str
    sealing_keys: Mapping[str, bytes]
    made_here: bool

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
    from_environment = _read_environment(environ)
    for (table, key), value in from_environment.items():
        values.setdefault(table, {})
        if not isinstance(values[table], dict):
            raise SettingsError(f"{table}: must be a table ({path})")
        values[table][key] = value
    try:
        return Settings.model_validate({**values, "source": path if path.exists() else None})
    except ValidationError as error:
        raise SettingsError(_explain(error, path, from_environment)) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"REMINDERS_SETTINGS names {path}, which does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    if "source" in values:
        raise SettingsError(f"source: unknown key ({path})")
    return values


# Secrets and the name of the file share the prefix and are no settings.
_NOT_SETTINGS = frozenset(
    PREFIX + name for base in ("SECRET_KEY", "SEALING_KEYS") for name in (base, f"{base}_FILE")
) | {PREFIX + "SETTINGS", PREFIX + "TEST_BROWSER"}


def _read_environment(environ: Mapping[str, str]) -> dict[tuple[str, str], object]:
    found: dict[tuple[str, str], object] = {}
    if url := environ.get("DATABASE_URL"):
        found["database", "url"] = url
    if port := environ.get("PORT"):
        found["web", "port"] = port
        found["web", "host"] = "0.0.0.0"  # ruff: ignore[hardcoded-bind-all-interfaces]  a platform that sets PORT routes to us from outside
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
            continue
        table, _, key = name.removeprefix(PREFIX).lower().partition("__")
        if table not in Settings.model_fields or table == "source" or not key:
            tables = ", ".join(field for field in Settings.model_fields if field != "source")
            raise SettingsError(f"{name}: no such setting; it is {PREFIX}<TABLE>__<KEY>, with tables {tables}")
        value: object = text
        if text.lstrip().startswith("["):
            try:
                value = json.loads(text)
            except ValueError:
                raise SettingsError(f'{name}: lists are written as JSON, such as ["20:00", "09:00"]') from None
        found[table, key] = value
    return found


def _explain(error: ValidationError, path: Path, from_environment: Mapping[tuple[str, str], object]) -> str:
    lines = []
    for problem in error.errors():
        where = [str(part) for part in problem["loc"]]
        name = ".".join(where)
        origin: object = path
        if len(where) > 1 and (where[0], where[1]) in from_environment:
            origin = f"{PREFIX}{where[0].upper()}__{where[1].upper()}"
        if problem["type"] == "extra_forbidden":
            text = f"{name}: unknown key ({origin})"
        else:
            said = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            text = f"{name}: {said} ({origin})" if name else f"{said} ({origin})"
        lines.append(text)
    return "\n".join(lines)


def secrets(settings: Settings, environ: Mapping[str, str] | None = None) -> Secrets:
    """Read the secrets that belong to `settings`.

    In demo and development a missing key is made once and kept beside the database (mode 600); `made_here` then says
    so and the caller warns. With `twilio.live` a missing one is a SettingsError.
    """
    environ = os.environ if environ is None else environ
    found = {
        name: _secret(environ, name)
        for name in (
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "TWILIO_API_KEY",
            "TWILIO_API_SECRET",
            "REMINDERS_SECRET_KEY",
            "REMINDERS_SEALING_KEYS",
        )
    }
    needed = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "REMINDERS_SECRET_KEY", "REMINDERS_SEALING_KEYS")
    missing = [name for name in needed if not found[name]]
    if settings.twilio.live and missing:
        raise SettingsError(f"twilio.live is true, so the environment must set {', '.join(missing)}")
    made_here = False
    if not (found["REMINDERS_SECRET_KEY"] and found["REMINDERS_SEALING_KEYS"]):
        made = _keys_beside(settings)
        made_here = True
        found["REMINDERS_SECRET_KEY"] = found["REMINDERS_SECRET_KEY"] or made["REMINDERS_SECRET_KEY"]
        found["REMINDERS_SEALING_KEYS"] = found["REMINDERS_SEALING_KEYS"] or made["REMINDERS_SEALING_KEYS"]
    return Secrets(
        # The simulator's own account: known to everybody, of use to nobody.
        account_sid=found["TWILIO_ACCOUNT_SID"] or "AC" + "0" * 32,
        auth_token=found["TWILIO_AUTH_TOKEN"] or "simulator",
        api_key=found["TWILIO_API_KEY"],
        api_secret=found["TWILIO_API_SECRET"],
        secret_key=found["REMINDERS_SECRET_KEY"] or "",
        sealing_keys=_parse_sealing_keys(found["REMINDERS_SEALING_KEYS"] or ""),
        made_here=made_here,
    )


def _secret(environ: Mapping[str, str], name: str) -> str | None:
    if value := environ.get(name):
        return value
    if path := environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip() or None
        except OSError as error:
            raise SettingsError(f"{name}_FILE: cannot be read: {error.strerror}") from None
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


def _keys_beside(settings: Settings) -> dict[str, str]:
    """The generated keys kept beside the database, made if there are none yet."""
    import base64
    import secrets as chance

    url = settings.database.url
    base = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else Path("reminders")
    path = base.with_suffix(".keys")
    made = {
        "REMINDERS_SECRET_KEY": chance.token_urlsafe(32),
        "REMINDERS_SEALING_KEYS": f"{chance.token_hex(3)}:{base64.b64encode(chance.token_bytes(32)).decode()}",
    }
    draft = path.with_suffix(f".{os.getpid()}.draft")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(made, file)
        try:
            # A link fails if the name is taken: of two processes starting together the first one's keys hold, and
            # nobody reads a half-written file.
            os.link(draft, path)
        except FileExistsError:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return {name: str(kept[name]) for name in made}
        finally:
            draft.unlink()
    except OSError as error:
        raise SettingsError(f"keys cannot be kept beside the database: {error.strerror}") from None
    return made
