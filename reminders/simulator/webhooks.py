"""Twilio's calls to us: their signature, its patience, and its retries (docs/twilio.md 2.2, 2.3)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from twilio.request_validator import RequestValidator

# The outcome of a call: the HTTP status; `ct`, no connection (or TLS); `rt`, no complete answer in time.
Outcome = int | Literal["ct", "rt"]


_URL = re.compile(r"[!-~]{1,4000}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.:-]+", re.ASCII)


def is_callable(url: str) -> bool:
    """Whether Twilio would call this URL: absolute, http or https, up to 4000 characters, no `_` in the host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(parts.scheme in {"http", "https"} and _URL.fullmatch(url) and _HOST.fullmatch(host) and port != 0)


@dataclass(frozen=True, slots=True)
class Policy:
    """The timeouts and retries of a webhook: Twilio's connection overrides, in seconds, with its defaults."""

    connect: float = 5.0
    read: float = 15.0
    total: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})

    @classmethod
    def of(cls, fragment: str) -> Self:
        """The policy in a URL's fragment: `rc=5&rp=all&ct=2000&rt=3000&tt=15000`, milliseconds.

        Twilio's default replaces a part that is unknown, unreadable or out of range (ct 100 to 10000, rt 100 to 15000,
        tt up to 15000, rc 0 to 5).
        """
        asked = dict(parse_qsl(fragment))

        def number(name: str, low: int, high: int) -> int | None:
            text = asked.get(name, "")
            return int(text) if text.isascii() and text.isdigit() and low <= int(text) <= high else None

        policy = cls()
        if (connect := number("ct", 100, 10_000)) is not None:
            policy = replace(policy, connect=connect / 1000)
        if (read := number("rt", 100, 15_000)) is not None:
            policy = replace(policy, read=read / 1000)
        if (total := number("tt", 100, 15_000)) is not None:
            policy = replace(policy, total=total / 1000)
        if (retries := number("rc", 0, 5)) is not None:
            policy = replace(policy, retries=retries)
        retry_on = frozenset(asked.get("rp", "").split(","))
        if retry_on <= {"4xx", "5xx", "ct", "rt", "all"}:
            policy = replace(policy, retry_on=retry_on)
        return policy

    def retries_after(self, outcome: Outcome) -> bool:
        """Whether Twilio tries again after this outcome."""
        word = f"{outcome // 100}xx" if isinstance(outcome, int) else outcome
        return word in self.retry_on or ("all" in self.retry_on and word in {"4xx", "5xx", "ct", "rt"})


Kind = Literal["status", "inbound", "fallback"]


@dataclass(frozen=True, slots=True)
class Callback:
    """One webhook call to make: POST `body` with `headers` to `url`, which has no fragment.

    A `fallback` call is about an inbound text whose own call was lost. `token` is the same for all tries and copies of
    a call, `attempt` counts the tries from 0, `at` is when this try was due and `first_at` when the first was made.
    `number` is the try's place in the journal.
    """

    kind: Kind
    sid: str
    status: str
    url: str
    form: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    token: str
    policy: Policy
    at: datetime
    first_at: datetime
    attempt: int = 0
    number: int = -1

    @property
    def body(self) -> bytes:
        """The encoded form."""
        return urlencode(self.form).encode("ascii")

    def again(self, outcome: Outcome, now: datetime, pause: float) -> Self | None:
        """The next try after this outcome, `pause` seconds from `now`; None if there is none."""
        at = now + timedelta(seconds=pause)
        late = at >= self.first_at + timedelta(seconds=self.policy.total)
        if late or self.attempt >= self.policy.retries or not self.policy.retries_after(outcome):
            return None
        return replace(self, at=at, attempt=self.attempt + 1)


def signed(
    kind: Kind,
    url: str,
    form: Sequence[tuple[str, str]],
    *,
    sid: str,
    status: str,
    auth_token: str,
    token: str,
    at: datetime,
    signature: Literal["good", "bad", "none"] = "good",
) -> Callback:
    """The call to `url` with this form, signed as Twilio does: with the auth token, over the URL without its fragment.

    A `bad` signature is well-formed, but belongs to another form.
    """
    bare, _, fragment = url.partition("#")
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "Accept": "*/*",
        "User-Agent": "TwilioProxy/1.1",
        "I-Twilio-Idempotency-Token": token,
    }
    if signature != "none":
        over = dict(form) if signature == "good" else {}
        headers["X-Twilio-Signature"] = RequestValidator(auth_token).compute_signature(bare, over)
    return Callback(
        kind=kind,
        sid=sid,
        status=status,
        url=bare,
        form=tuple(form),
        headers=headers,
        token=token,
        policy=Policy.of(fragment),
        at=at,
        first_at=at,
    )
