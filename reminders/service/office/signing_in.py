"""Coming in: password and second factor, how long a sign-in holds, and what wrong tries cost (ASVS 5.0 chapters 6, 7).

A sign-in is a row in the database; the browser holds a token of 256 random bits, the row its fingerprint. It begins
with the password alone, and holds once the second factor is shown: the token is a new one then.

Wrong tries are counted by login and address together, by address, and by login. Each may fail a number of times, then
waits 4 s, and twice as long with every try. The wait of a login alone stays short, so that no one can lock out
someone else. A browser in which someone has signed in before carries a device token for that login, and is counted
by itself alone: who shares its address, as behind a proxy that does not say whom it speaks for, cannot lock it out.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import unicodedata
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.office import accounts
from reminders.service.office.accounts import Actor, mark
from reminders.store.database.sealing import Place
from reminders.store.records import SignInRow, StaffRow

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 200
RECOVERY_CODES = 10
STEP_SECONDS = 30
KEPT_FOR = timedelta(hours=1)
SEEN_EVERY = timedelta(minutes=1)
ISSUER = "Reminders"  # stands in an app on someone's own phone, so it must not tell

DEVICE_FOR = timedelta(days=90)

_COUNTED_FOR = timedelta(hours=1)
_BOTH, _ADDRESS, _LOGIN, _FACTOR, _DEVICE = "login and address", "address", "login", "factor", "device"
_LONGEST = {_BOTH: 900, _ADDRESS: 900, _LOGIN: 30, _FACTOR: 900, _DEVICE: 900}
_MUST_TAKE = 10  # the power of ten of the guesses that a password must withstand; what is common takes under nine
_LOOKED_AT = 72  # characters of it: what is guessed there is enough, and more takes long to look at
_OF_THE_HOUSE = (
    *("reminders", "aftercare", "recovery", "rehab", "detox", "treatment", "center", "clinic", "hospital", "patient"),
    *("contraseña", "contrasena", "clinica", "recuperacion"),
)
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look like another

# Each hash takes 64 MiB and two cores' worth of a tenth of a second. Two at once; six more may wait, and hold a thread.
_HASHER = PasswordHasher()
_HASHING = threading.Semaphore(2)
_WAITING = threading.Semaphore(8)


class TooManyTries(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """Too many wrong tries; `seconds` is how long to wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many tries; wait {seconds} s")
        self.seconds = seconds


class Busy(Exception):  # ruff: ignore[error-suffix-on-exception-name]  as above
    """So many people sign in at this moment that this one must try again."""


class NotSignedIn(Exception):  # ruff: ignore[error-suffix-on-exception-name]  as above
    """No one is signed in by that token. `need` is what would help: `password`, `code` or `enrol`.

    `was` is the id of the member of staff whose sign-in it was or is; None for a stranger.
    """

    def __init__(self, need: str, was: int | None = None) -> None:
        super().__init__(need)
        self.need, self.was = need, was


@dataclass(frozen=True, slots=True)
class Half:
    """The password was right: the token to go on with, and whether the second factor is still to be set up."""

    token: str
    enrolled: bool


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A second factor that is offered: `sealed` comes back with the code that confirms it."""

    secret: str
    uri: str
    sealed: str


# Who it is


def enter(context: AppContext, token: str, now: datetime, *, refresh: bool = False) -> Actor:
    """Who is signed in by that token. A page that refreshes itself does not hold off the idle limit.

    Raises NotSignedIn.
    """
    actor, seen_at = context.database.read(lambda tx: _enter(context, tx, token, now))
    if refresh or now - seen_at < SEEN_EVERY:
        return actor

    def note(tx: store.Transaction) -> Actor:
        store.accounts.seen(tx, actor.sign_in_id, now)
        return _enter(context, tx, token, now)[0]

    return context.database.write(note, again=True)


def _enter(context: AppContext, tx: store.Transaction, token: str, now: datetime) -> tuple[Actor, datetime]:
    sign_in, member = _holding(context, tx, token, now)
    if sign_in.proved_at is None:
        raise NotSignedIn("code" if member.enrolled_at else "enrol", member.id)
    return accounts.load(tx, member, sign_in.id, _ends_at(context, sign_in)), sign_in.seen_at


def _holding(context: AppContext, tx: store.Transaction, token: str, now: datetime) -> tuple[SignInRow, StaffRow]:
    """The sign-in and whose it is, if it still holds. Raises NotSignedIn."""
    sign_in = store.accounts.sign_in_of(tx, mark(token)) if token else None
    member = sign_in and store.accounts.by_id(tx, sign_in.staff_id)
    if sign_in is None or member is None:
        raise NotSignedIn("password")
    if sign_in.ended_at is not None or member.ended_at is not None or now >= _ends_at(context, sign_in):
        raise NotSignedIn("password", member.id)
    return sign_in, member


def _half(context: AppContext, tx: store.Transaction, token: str, now: datetime) -> tuple[SignInRow, StaffRow]:
    """As `_holding`, of one that waits for its second factor."""
    sign_in, member = _holding(context, tx, token, now)
    if sign_in.proved_at is not None:
        raise NotSignedIn("password", member.id)
    return sign_in, member


def _ends_at(context: AppContext, sign_in: SignInRow) -> datetime:
    web = context.settings.web
    idle: datetime = sign_in.seen_at + timedelta(minutes=web.idle_minutes)
    longest: datetime = sign_in.started_at + timedelta(hours=web.longest_hours)
    return min(idle, longest)


# In


def sign_in(
    context: AppContext, login: str, password: str, now: datetime, *, where: str, device: str = ""
) -> Half | None:
    """Begin a sign-in with a login and its password; None where they do not go together, whichever is wrong.

    `device` is the token of a browser in which someone signed in before; one that is none of this login's is worth
    nothing. Takes the same time for a login that no one has. Raises TooManyTries, Busy.
    """
    login = accounts.fold(login)
    member = context.database.read(lambda tx: store.accounts.by_login(tx, login)) if accounts.is_login(login) else None
    if _is_device_of(context, member, device, now):
        kind, tries = _DEVICE, {_DEVICE: device}
    else:
        kind, tries = _BOTH, {_BOTH: f"{login}|{where}", _ADDRESS: where, _LOGIN: login}
    tried = _try(context, tries, now)
    hashed = member.password if member is not None and member.ended_at is None else None
    try:
        with _room_to_hash():
            right = _verify(_nobodys() if hashed is None else hashed, password) and hashed is not None
            stale = right and hashed is not None and _HASHER.check_needs_rehash(hashed)
            anew = _hash(password) if stale else None
    except Busy:  # no one looked at the password, so it was not a wrong one
        context.database.write(lambda tx: store.accounts.forgive(tx, tried, ""), again=True)
        raise
    if member is None or not right:
        staff_id = 0 if member is None else member.id
        context.database.write(lambda tx: _note(tx, "a stranger", Action.SIGN_IN_REFUSED, staff_id, now), again=True)
        return None

    def work(tx: store.Transaction) -> str:
        _forgive(context, tx, tried, kind, tries[kind])
        if anew is not None:
            store.accounts.change(tx, member.id, password=anew)
        return _begin(tx, member.id, now, where)

    return Half(context.database.write(work), member.enrolled_at is not None)


def prove(context: AppContext, token: str, code: str, now: datetime) -> str | None:
    """Show the second factor, or a recovery code: the token of the whole sign-in, or None where the code is wrong.

    Raises NotSignedIn, TooManyTries.
    """
    member = unproved(context, token, now)
    if member.enrolled_at is None:
        raise NotSignedIn("enrol", member.id)
    tried = _try(context, {_FACTOR: str(member.id)}, now)

    def work(tx: store.Transaction) -> str | None:
        sign_in, member = _half(context, tx, token, now)
        how = _show(context, tx, member, code, now)
        if how is None:
            _note(tx, "a stranger", Action.SECOND_FACTOR_REFUSED, member.id, now)
            return None
        _forgive(context, tx, tried, _FACTOR, str(member.id))
        return _signed_in(tx, sign_in.id, member, now, how)

    return context.database.write(work)


def _show(context: AppContext, tx: store.Transaction, member: StaffRow, code: str, now: datetime) -> str | None:
    """Use up a code of the app, or a recovery code; which it was, None for neither."""
    typed = "".join(code.split()).replace("-", "").lower()
    secret = store.accounts.factor_of(tx, member)
    step = _step_of(secret, typed, now) if secret is not None else None
    if step is not None:
        return "code" if store.accounts.use_step(tx, member.id, step) else None
    if store.accounts.use_recovery_code(tx, member.id, _keyed(context, "recovery", typed), now):
        return "recovery code"
    return None


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """The step of 30 s whose code it is: this one, the one before or the one after (ASVS 6.5.5)."""
    this = int(now.timestamp()) // STEP_SECONDS
    totp = pyotp.TOTP(secret, interval=STEP_SECONDS)
    found = [step for step in (this - 1, this, this + 1) if _same(totp.generate_otp(step), code)]
    return found[-1] if found else None


def offer_factor(context: AppContext, staff_id: int, login: str, now: datetime) -> Enrolment:
    """Offer a second factor. Nothing is kept until it is confirmed by a code."""
    return _offered(context, _first(staff_id), login, pyotp.random_base32(), now)


def offered_again(context: AppContext, staff_id: int, login: str, sealed: str, now: datetime) -> Enrolment:
    """The one that was offered, after a wrong code; another one where that is too long ago."""
    secret = _unseal(context, _first(staff_id), sealed, now)
    return _offered(context, _first(staff_id), login, secret or pyotp.random_base32(), now)


def _first(staff_id: int) -> str:
    return f"factor of {staff_id}"


def _offered(context: AppContext, use: str, login: str, secret: str, now: datetime) -> Enrolment:
    uri = pyotp.TOTP(secret, interval=STEP_SECONDS).provisioning_uri(name=login, issuer_name=ISSUER)
    return Enrolment(secret, uri, _seal(context, use, secret, now))


def unproved(context: AppContext, token: str, now: datetime) -> StaffRow:
    """Who has shown a password, and may show or set up the second factor now. Raises NotSignedIn."""
    return context.database.read(lambda tx: _half(context, tx, token, now)[1])


def enrol(context: AppContext, token: str, sealed: str, code: str, now: datetime) -> tuple[str, list[str]] | None:
    """Put the offered second factor to use: the token of the whole sign-in, and the recovery codes, shown once.

    None where the code is none of its. Raises NotSignedIn, also where there is a second factor already; TooManyTries.
    """
    codes = _recovery_codes()
    member = unproved(context, token, now)
    tried = _try(context, {_FACTOR: str(member.id)}, now)

    def work(tx: store.Transaction) -> str | None:
        sign_in, member = _half(context, tx, token, now)
        if member.enrolled_at is not None:
            raise NotSignedIn("code", member.id)
        secret = _unseal(context, _first(member.id), sealed, now)
        step = _step_of(secret, "".join(code.split()), now) if secret is not None else None
        if secret is None or step is None:
            return None
        store.accounts.keep_factor(tx, member.id, secret, step, now)
        store.accounts.keep_recovery_codes(tx, member.id, [_keyed(context, "recovery", one) for one in codes], now)
        _forgive(context, tx, tried, _FACTOR, str(member.id))
        _note(tx, f"staff:{member.login}", Action.SECOND_FACTOR_SET_UP, member.id, now)
        return _signed_in(tx, sign_in.id, member, now, "new second factor")

    fresh = context.database.write(work)
    return None if fresh is None else (fresh, _in_groups(codes))


def invited(context: AppContext, token: str, now: datetime) -> StaffRow | None:
    """Whom an invitation is for, while it holds."""
    return context.database.read(lambda tx: store.accounts.by_invitation(tx, mark(token), now))


def take_up(context: AppContext, token: str, password: str, now: datetime, *, where: str) -> Half:
    """Choose a password by an invitation, which is used up by it; the sign-in goes on with the second factor.

    Raises accounts.Refused with what is wrong with the password, LookupError where the invitation does not hold, Busy.
    """
    member = invited(context, token, now)
    if member is None:
        raise LookupError("the invitation does not hold")
    if problem := check_password(password, member.login, member.name):
        raise accounts.Refused(problem)
    with _room_to_hash():
        hashed = _hash(password)

    def work(tx: store.Transaction) -> Half:
        member = store.accounts.by_invitation(tx, mark(token), now)
        if member is None:
            raise LookupError("the invitation does not hold")
        store.accounts.change(tx, member.id, password=hashed, invited=None, invited_until=None)
        store.accounts.end(tx, now, staff_id=member.id)
        _note(tx, f"staff:{member.login}", Action.PASSWORD_CHOSEN, member.id, now)
        return Half(_begin(tx, member.id, now, where), member.enrolled_at is not None)

    return context.database.write(work)


def check_password(password: str, login: str, name: str) -> str | None:
    """What is wrong with a password, in words that say what to do; None for a good one.

    Long, not known, not about its owner; nothing about kinds of characters, and no end of it (ASVS 6.2).
    """
    plain = _normal(password)
    if len(plain) < SHORTEST_PASSWORD:
        return f"Password must be {SHORTEST_PASSWORD} characters or more. Several words that do not belong together do"
    if len(plain) > LONGEST_PASSWORD:
        return f"Password must be {LONGEST_PASSWORD} characters or fewer"
    own = [word for word in (login, *login.replace("@", ".").split("."), *name.casefold().split()) if len(word) > 3]
    left = plain.casefold()
    for word in own:
        left = left.replace(word, "")
    # Besides its owner's name there must be something, and not a letter and its neighbor.
    surprises = sum(abs(ord(one) - ord(other)) > 1 for one, other in pairwise(left))
    if surprises < 6 or len(set(left)) < 5 or _guesses(plain, own) < _MUST_TAKE:
        return "Password must be harder to guess: several words that do not belong together, no names or rows of keys"
    return None


def _guesses(password: str, own: Sequence[str]) -> float:
    """The power of ten of the guesses that a password takes from who knows the lists and tricks (ASVS 6.2.4)."""
    from zxcvbn import zxcvbn  # its lists take a while to read

    found = zxcvbn(password[:_LOOKED_AT], user_inputs=[*own, *_OF_THE_HOUSE], max_length=_LOOKED_AT)
    return float(found["guesses_log10"])


def enter_demo(context: AppContext, login: str, now: datetime, *, where: str) -> str | None:
    """The token of a whole sign-in as one of the demo's staff, without a password; None where there is none such."""
    if not context.settings.web.demo or context.settings.twilio.live or login not in accounts.DEMO_STAFF:
        return None

    def work(tx: store.Transaction) -> str | None:
        member = store.accounts.by_login(tx, login)
        if member is None or member.ended_at is not None or member.password is not None:
            return None
        return open_for(tx, member, now, where=where, how="demo")

    return context.database.write(work)


def device_token(context: AppContext, actor: Actor, now: datetime) -> str:
    """A token by which this browser is known again at the next sign-in of the actor, and of no one else.

    It lets no one in. It ends with the password, with the access, and after 90 days.
    """
    member = context.database.read(lambda tx: store.accounts.by_id(tx, actor.id))
    said = f"{actor.id}.{int((now + DEVICE_FOR).timestamp())}.{secrets.token_urlsafe(16)}"
    return f"{said}.{_device_mark(context, member, said)}" if member is not None and member.password else ""


def _is_device_of(context: AppContext, member: StaffRow | None, device: str, now: datetime) -> bool:
    if member is None or member.password is None or member.ended_at is not None:
        return False
    said, _, given = device.rpartition(".")
    if not _same(_device_mark(context, member, said), given):
        return False
    whose, ends, _ = said.split(".")
    return int(whose) == member.id and now.timestamp() < int(ends)


def _device_mark(context: AppContext, member: StaffRow, said: str) -> str:
    return _keyed(context, "device", f"{said}|{member.password}")


def open_for(tx: store.Transaction, member: StaffRow, now: datetime, *, where: str, how: str) -> str:
    """The token of a sign-in that holds for someone who need not show anything more."""
    token = secrets.token_urlsafe(32)
    store.accounts.begin(tx, member.id, mark(token), now, where=where, proved=True)
    store.accounts.change(tx, member.id, seen_at=now)
    _note(tx, f"staff:{member.login}", Action.SIGNED_IN, member.id, now, after=how)
    return token


def _begin(tx: store.Transaction, staff_id: int, now: datetime, where: str) -> str:
    token = secrets.token_urlsafe(32)
    store.accounts.begin(tx, staff_id, mark(token), now, where=where)
    return token


def _signed_in(tx: store.Transaction, sign_in_id: int, member: StaffRow, now: datetime, how: str) -> str:
    token = secrets.token_urlsafe(32)
    store.accounts.prove(tx, sign_in_id, mark(token), now)
    store.accounts.change(tx, member.id, seen_at=now)
    _note(tx, f"staff:{member.login}", Action.SIGNED_IN, member.id, now, after=how)
    return token


# Out


def sign_out(context: AppContext, token: str, now: datetime) -> None:
    """End the sign-in of that token, if it is one."""

    def work(tx: store.Transaction) -> None:
        sign_in = store.accounts.sign_in_of(tx, mark(token))
        if sign_in is None or not store.accounts.end(tx, now, sign_in_id=sign_in.id):
            return
        member = store.accounts.by_id(tx, sign_in.staff_id)
        assert member is not None
        _note(tx, f"staff:{member.login}", Action.SIGNED_OUT, member.id, now)

    context.database.write(work, again=True)


def end_others(context: AppContext, actor: Actor, now: datetime) -> int:
    """End all of someone's sign-ins but the one they do it from; how many."""

    def work(tx: store.Transaction) -> int:
        ended = store.accounts.end(tx, now, staff_id=actor.id, but=actor.sign_in_id)
        _note(tx, actor.who, Action.OTHER_SIGN_INS_ENDED, actor.id, now, after=str(ended))
        return ended

    return context.database.write(work, again=True)


# One's own account. Changing what one signs in with asks first for what one signed in with (ASVS 7.5.1).


def change_password(context: AppContext, actor: Actor, new: str, now: datetime) -> None:
    """A new password, and the end of all other sign-ins. After `confirm`. Raises accounts.Refused, Busy."""
    if problem := check_password(new, actor.login, actor.name):
        raise accounts.Refused(problem)
    with _room_to_hash():
        hashed = _hash(new)

    def work(tx: store.Transaction) -> None:
        store.accounts.change(tx, actor.id, password=hashed)
        store.accounts.end(tx, now, staff_id=actor.id, but=actor.sign_in_id)
        _note(tx, actor.who, Action.PASSWORD_CHANGED, actor.id, now)

    context.database.write(work, again=True)


def offer_another_factor(
    context: AppContext, actor: Actor, now: datetime, sealed: str | None = None
) -> Enrolment | None:
    """Offer another second factor, after `confirm`; the one in use stays until `change_factor`.

    With `sealed` the one that was offered, after a wrong code; None where it was offered too long ago, or elsewhere.
    """
    use = _another(actor)
    secret = pyotp.random_base32() if sealed is None else _unseal(context, use, sealed, now)
    return None if secret is None else _offered(context, use, actor.login, secret, now)


def change_factor(context: AppContext, actor: Actor, sealed: str, code: str, now: datetime) -> list[str] | None:
    """The offered second factor in place of the one before: the new recovery codes. All other sign-ins end.

    None, and nothing changes, where the code is none of its or it was not offered here. Raises TooManyTries.
    """
    codes = _recovery_codes()
    tried = _try(context, {_FACTOR: str(actor.id)}, now)

    def work(tx: store.Transaction) -> bool:
        secret = _unseal(context, _another(actor), sealed, now)
        step = _step_of(secret, "".join(code.split()), now) if secret is not None else None
        if secret is None or step is None:
            return False
        store.accounts.keep_factor(tx, actor.id, secret, step, now)
        store.accounts.keep_recovery_codes(tx, actor.id, [_keyed(context, "recovery", one) for one in codes], now)
        store.accounts.end(tx, now, staff_id=actor.id, but=actor.sign_in_id)
        _forgive(context, tx, tried, _FACTOR, str(actor.id))
        _note(tx, actor.who, Action.SECOND_FACTOR_CHANGED, actor.id, now)
        return True

    return _in_groups(codes) if context.database.write(work) else None


def _another(actor: Actor) -> str:
    return f"another factor of {actor.id} in {actor.sign_in_id}"


def new_recovery_codes(context: AppContext, actor: Actor, now: datetime) -> list[str]:
    """Ten recovery codes in place of those before, shown once. After `confirm`."""
    codes = _recovery_codes()

    def work(tx: store.Transaction) -> None:
        store.accounts.keep_recovery_codes(tx, actor.id, [_keyed(context, "recovery", one) for one in codes], now)
        _note(tx, actor.who, Action.RECOVERY_CODES_MADE, actor.id, now)

    context.database.write(work, again=True)
    return _in_groups(codes)


def confirm(context: AppContext, actor: Actor, password: str, code: str, now: datetime) -> bool:
    """Whether password and second factor are those of the actor; the code is used up. Raises TooManyTries, Busy."""
    tried = _try(context, {_FACTOR: str(actor.id)}, now)
    member = context.database.read(lambda tx: store.accounts.by_id(tx, actor.id))
    with _room_to_hash():
        right = member is not None and _verify(member.password or _nobodys(), password) and bool(member.password)

    def work(tx: store.Transaction) -> bool:
        member = store.accounts.by_id(tx, actor.id)
        if not right or member is None or _show(context, tx, member, code, now) is None:
            _note(tx, actor.who, Action.CONFIRMATION_REFUSED, actor.id, now)
            return False
        _forgive(context, tx, tried, _FACTOR, str(actor.id))
        return True

    return context.database.write(work)


def _recovery_codes() -> list[str]:
    return ["".join(secrets.choice(_LETTERS) for _ in range(12)) for _ in range(RECOVERY_CODES)]


def _in_groups(codes: list[str]) -> list[str]:
    return ["-".join((one[:4], one[4:8], one[8:])) for one in codes]


# What a form had in it when the sign-in ended


def keep_form(context: AppContext, staff_id: int, path: str, fields: list[tuple[str, str]], now: datetime) -> str:
    """Seal what someone had typed, for the page where they sign in again."""
    return _seal(context, "a form", {"staff": staff_id, "path": path, "fields": fields}, now)


def kept_form(context: AppContext, staff_id: int, kept: str, now: datetime) -> tuple[str, list[tuple[str, str]]] | None:
    """The path of a kept form and its fields; None where it was someone else's, too long ago, or none."""
    form = _unseal(context, "a form", kept, now)
    if form is None or form["staff"] != staff_id:
        return None
    return form["path"], [(name, value) for name, value in form["fields"]]


def _seal(context: AppContext, use: str, value: Any, now: datetime) -> str:
    said = json.dumps({"at": now.timestamp(), "value": value}, ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(context.database.ring.seal(Place("browser", use, 0), said)).decode()


def _unseal(context: AppContext, use: str, sealed: str, now: datetime) -> Any:
    try:
        said = json.loads(
            context.database.ring.open(Place("browser", use, 0), base64.urlsafe_b64decode(sealed.encode()))
        )
    except (store.Unreadable, ValueError):
        return None
    age = timedelta(seconds=now.timestamp() - said["at"])
    return said["value"] if -KEPT_FOR < age < KEPT_FOR else None


# Wrong tries


def _try(context: AppContext, tries: Mapping[str, str], now: datetime) -> list[int]:
    """Count a try, before it is known whether it is a wrong one: many at once are counted as many.

    Raises TooManyTries.
    """
    sources = {_keyed(context, kind, value): kind for kind, value in tries.items()}

    def work(tx: store.Transaction) -> list[int] | int:
        wait = 0
        for source, (many, last) in store.accounts.wrong_tries(tx, sources, now - _COUNTED_FOR).items():
            free, longest = _free_and_longest(context, sources[source])
            if many >= free:
                until = last + timedelta(seconds=min(longest, 4 * 2 ** min(many - free, 20)))
                wait = max(wait, -int(-(until - now).total_seconds() // 1))
        return wait or store.accounts.note_try(tx, sources, now, forget=now - _COUNTED_FOR)

    done = context.database.write(work)
    if isinstance(done, int):
        raise TooManyTries(done)
    return done


def _free_and_longest(context: AppContext, kind: str) -> tuple[int, int]:
    web = context.settings.web
    free = web.tries_per_address if kind in {_ADDRESS, _LOGIN} else web.tries_per_login
    return free, _LONGEST[kind]


def _forgive(context: AppContext, tx: store.Transaction, tried: list[int], kind: str, value: str) -> None:
    store.accounts.forgive(tx, tried, _keyed(context, kind, value))


# Passwords


@contextmanager
def _room_to_hash() -> Generator[None]:
    if not _WAITING.acquire(blocking=False):
        raise Busy
    try:
        with _HASHING:
            yield
    finally:
        _WAITING.release()


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def _hash(password: str) -> str:
    return _HASHER.hash(_normal(password))


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, _normal(password)[:LONGEST_PASSWORD])
    except (Argon2Error, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    """What a password is held against where there is none, so that it takes as long."""
    return _HASHER.hash(secrets.token_urlsafe(16))


def _keyed(context: AppContext, use: str, value: str) -> str:
    """A fingerprint of what someone might guess: keyed, so that the database alone does not let them try."""
    key = hashlib.sha256(f"{use}|{context.secrets.secret_key}".encode()).digest()
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _note(
    tx: store.Transaction, who: str, what: Action, staff_id: int, now: datetime, *, after: str | None = None
) -> None:
    store.audit_log.note(tx, who=who, what=what, table="staff", row=staff_id, now=now, after=after)
