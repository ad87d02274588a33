"""Staff: who they are, and what they may do where (45 CFR 164.312 (a)(2)(i): everyone has a login of their own).

A *grant* gives a role at one site, or at every one. Several add up.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.store.records import StaffRow

_READING = frozenset({"look", "people"})
_CARING = _READING | {"plan", "answer", "pause"}

PERMISSIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "coordinator": _CARING | {"export"},
        "clinician": _CARING | {"judge"},
        "ops": frozenset({"look", "operate", "pause", "export", "raw"}),
        "admin": _CARING | {"judge", "operate", "export", "raw", "audit", "administer"},
        "read_only": _READING | {"audit"},
    }
)
"""Role → what it may do.

`look`: lists, boards, the log, health. `people`: names, numbers and bodies. `plan`: enter, move and end plans, say who
came, follow people. `answer`: the inbox and tasks. `judge`: say of a reply whether it was danger. `pause`: stop all
sending in an emergency. `operate`: resume it, the backlog, the call list, test texts. `export`: take lists out. `raw`:
what Twilio sent, as it came. `audit`: read it. `administer`: users, sites, senders, rota, keys.
"""

INVITED_FOR = timedelta(hours=72)

DEMO_STAFF: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ana.reyes": ("Ana Reyes", "coordinator"),
        "ben.okonkwo": ("Ben Okonkwo", "clinician"),
        "cleo.marsh": ("Cleo Marsh", "ops"),
        "dev.iyer": ("Dev Iyer", "admin"),
        "eve.lindholm": ("Eve Lindholm", "read_only"),
    }
)
"""Login → name and role of the invented staff who can be entered as without a password, in the demo only."""

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,49}")


class Refused(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """It cannot be done; the text says why, in words for whoever asked."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A member of staff who is signed in. `roles` maps site id → role, None standing for every site."""

    id: int
    login: str
    name: str
    roles: Mapping[int | None, str]
    shortcuts: bool
    sign_in_id: int
    ends_at: datetime
    all_sites: frozenset[int] = field(default=frozenset(), repr=False)

    @property
    def who(self) -> str:
        """The word for the audit."""
        return f"staff:{self.login}"

    def may(self, permission: str, site_id: int | None = None) -> bool:
        """Whether they may do that at a site; without one, at any."""
        if site_id is None:
            return any(permission in PERMISSIONS[role] for role in self.roles.values())
        there = (self.roles.get(None), self.roles.get(site_id))
        return any(permission in PERMISSIONS[role] for role in there if role is not None)

    def everywhere(self, permission: str) -> bool:
        """Whether they may do that at every site, also at those to come."""
        return permission in PERMISSIONS.get(self.roles.get(None, ""), frozenset())

    def sites(self, permission: str) -> frozenset[int]:
        """The ids of the sites where they may do that."""
        return frozenset(site_id for site_id in self.all_sites if self.may(permission, site_id))


@dataclass(frozen=True, slots=True)
class Member:
    """A member of staff, for a list. `roles` are by site key, None for every site."""

    id: int
    login: str
    name: str
    roles: Mapping[str | None, str]
    enrolled: bool
    invited_until: datetime | None
    seen_at: datetime | None
    ended_at: datetime | None

    def state(self, now: datetime) -> str:
        """How far they have come: `invited`, `invitation over`, `without second factor`, `active` or `ended`."""
        if self.ended_at is not None:
            return "ended"
        if self.invited_until is not None:
            return "invited" if now < self.invited_until else "invitation over"
        return "active" if self.enrolled else "without second factor"


@dataclass(frozen=True, slots=True)
class Invitation:
    """A way in that is shown once: the path of the page where a password is chosen, and until when it holds."""

    login: str
    path: str
    until: datetime


def invite(
    context: AppContext, login: str, name: str, role: str, now: datetime, *, who: str, site: str | None = None
) -> Invitation:
    """Add a member of staff with that role, at that site or at every one. Raises Refused."""
    login, name = fold(login), " ".join(name.split())
    if not is_login(login):
        raise Refused("A login has 2 to 50 small letters, digits and . _ @ + -, such as ana.reyes")
    if not 0 < len(name) <= 80 or not name.isprintable():
        raise Refused("Give the name of the person, in 80 characters or fewer")
    _check_role(role)

    def work(tx: store.Transaction) -> Invitation:
        site_id = _site(tx, site)
        staff_id = store.accounts.add(tx, login, name, now)
        if staff_id is None:
            raise Refused(f"The login {login} is taken")
        store.accounts.grant(tx, staff_id, site_id, role, now)
        _note(tx, staff_id, Action.STAFF_INVITED, now, who=who, after=f"{role} at {site or 'every site'}")
        return _invitation(tx, staff_id, login, now)

    return context.database.write(work)


def set_role(
    context: AppContext, login: str, role: str | None, now: datetime, *, who: str, site: str | None = None
) -> None:
    """Give a role at a site, or at every one, in place of the one they had there; None takes it away.

    Raises LookupError for a login no one has, Refused for what would leave no one to administer.
    """
    if role is not None:
        _check_role(role)

    def work(tx: store.Transaction) -> None:
        administrators = store.accounts.lock_administrators(tx)
        member = _member(tx, login)
        site_id = _site(tx, site)
        if role != "admin" and site_id is None:
            _keep_one(administrators, member.id)
        before = store.accounts.grants_of(tx, [member.id])[member.id].get(site_id)
        if role is None:
            if not store.accounts.withdraw(tx, member.id, site_id):
                raise Refused(f"{member.login} has no role at {site or 'every site'}")
        else:
            store.accounts.grant(tx, member.id, site_id, role, now)
        where = site or "every site"
        said = {"before": before and f"{before} at {where}", "after": f"{role or 'nothing'} at {where}"}
        _note(tx, member.id, Action.ROLE_CHANGED, now, who=who, **said)

    context.database.write(work, again=True)


def end_access(context: AppContext, login: str, now: datetime, *, who: str) -> None:
    """End a member of staff's access: their sign-ins and API keys end at once. Raises LookupError, Refused."""

    def work(tx: store.Transaction) -> None:
        administrators = store.accounts.lock_administrators(tx)
        member = _member(tx, login)
        if member.ended_at is not None:
            return
        _keep_one(administrators, member.id)
        store.accounts.change(tx, member.id, ended_at=now, invited=None, invited_until=None)
        signed_in = store.accounts.end(tx, now, staff_id=member.id)
        keys = store.accounts.end_keys(tx, member.id, now)
        _note(tx, member.id, Action.ACCESS_ENDED, now, who=who, after=f"sign-ins: {signed_in}, keys: {keys}")

    context.database.write(work, again=True)


def reset(context: AppContext, login: str, now: datetime, *, who: str, factor: bool = False) -> Invitation:
    """A new invitation: the old password and every sign-in end. Raises LookupError, Refused.

    The second factor stays, so that the invitation alone lets no one in; `factor` resets it
    too, for someone who has lost it and their recovery codes. Opens the access again where it had ended.
    """

    def work(tx: store.Transaction) -> Invitation:
        member = _member(tx, login)
        store.accounts.change(tx, member.id, password=None, ended_at=None)
        if factor:
            store.accounts.change(tx, member.id, totp_sealed=None, totp_step=None, enrolled_at=None)
            store.accounts.keep_recovery_codes(tx, member.id, (), now)
        store.accounts.end(tx, now, staff_id=member.id)
        what = Action.PASSWORD_AND_SECOND_FACTOR_RESET if factor else Action.PASSWORD_RESET
        _note(tx, member.id, what, now, who=who, before="access had ended" if member.ended_at else None)
        return _invitation(tx, member.id, member.login, now)

    return context.database.write(work)


def end_sign_ins(context: AppContext, login: str, now: datetime, *, who: str) -> int:
    """End all of a member of staff's sign-ins; how many. Raises LookupError."""

    def work(tx: store.Transaction) -> int:
        member = _member(tx, login)
        ended = store.accounts.end(tx, now, staff_id=member.id)
        _note(tx, member.id, Action.SIGN_INS_ENDED, now, who=who, after=str(ended))
        return ended

    return context.database.write(work, again=True)


def everybody(context: AppContext, actor: Actor | None = None) -> list[Member]:
    """All staff, by login; those whose access has ended too. Only whom that actor may administer, if one is given.

    An administrator of every site may administer everyone; one of some sites, only those with roles there alone.
    """

    def work(tx: store.Transaction) -> list[Member]:
        rows = store.accounts.everybody(tx)
        granted = store.accounts.grants_of(tx, [row.id for row in rows])
        keys: dict[int | None, str | None] = {None: None}
        keys |= {site.id: site.key for site in store.people.all_sites(tx)}
        return [
            Member(
                id=row.id,
                login=row.login,
                name=row.name,
                roles={keys[site_id]: role for site_id, role in granted[row.id].items()},
                enrolled=row.enrolled_at is not None,
                invited_until=row.invited_until,
                seen_at=row.seen_at,
                ended_at=row.ended_at,
            )
            for row in rows
            if actor is None or _administers(actor, granted[row.id])
        ]

    return context.database.read(work)


def _administers(actor: Actor, granted: Mapping[int | None, str]) -> bool:
    if actor.everywhere("administer"):
        return True
    return bool(granted) and set(granted) <= actor.sites("administer")


def set_shortcuts(context: AppContext, actor: Actor, now: datetime, *, on: bool) -> None:
    """Switch the keys of the pages on or off for oneself."""

    def work(tx: store.Transaction) -> None:
        store.accounts.change(tx, actor.id, shortcuts=on)
        _note(tx, actor.id, Action.SHORTCUTS_SWITCHED, now, who=actor.who, after="on" if on else "off")

    context.database.write(work, again=True)


def keep_demo_staff(context: AppContext, now: datetime) -> None:
    """See to it that the demo's staff is there."""

    def work(tx: store.Transaction) -> None:
        for login, (name, role) in DEMO_STAFF.items():
            staff_id = store.accounts.add(tx, login, name, now)
            if staff_id is not None:
                store.accounts.grant(tx, staff_id, None, role, now)

    context.database.write(work, again=True)


def load(tx: store.Transaction, member: StaffRow, sign_in_id: int, ends_at: datetime) -> Actor:
    """The actor that a member of staff is."""
    return Actor(
        id=member.id,
        login=member.login,
        name=member.name,
        roles=MappingProxyType(store.accounts.grants_of(tx, [member.id])[member.id]),
        shortcuts=member.shortcuts,
        sign_in_id=sign_in_id,
        ends_at=ends_at,
        all_sites=frozenset(store.accounts.site_ids(tx)),
    )


def fold(login: str) -> str:
    """A login as it is kept: no one remembers in which case they chose it."""
    return login.strip().casefold()


def is_login(login: str) -> bool:
    """Whether a folded login could be someone's."""
    return _LOGIN.fullmatch(login) is not None


def mark(token: str) -> str:
    """The fingerprint of a token that no one can guess: 256 random bits need no key and no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def _invitation(tx: store.Transaction, staff_id: int, login: str, now: datetime) -> Invitation:
    token, until = secrets.token_urlsafe(32), now + INVITED_FOR
    store.accounts.change(tx, staff_id, invited=mark(token), invited_until=until)
    return Invitation(login, f"/invitation/{token}", until)


def _member(tx: store.Transaction, login: str) -> StaffRow:
    member = store.accounts.by_login(tx, fold(login))
    if member is None:
        raise LookupError(f"No one has the login {fold(login)}")
    return member


def _site(tx: store.Transaction, key: str | None) -> int | None:
    if key is None:
        return None
    site = store.people.site_by_key(tx, key)
    if site is None:
        raise Refused(f"There is no site {key}")
    return int(site.id)


def _check_role(role: str) -> None:
    if role not in PERMISSIONS:
        raise Refused(f"{role} is no role; there are {', '.join(PERMISSIONS)}")


def _keep_one(administrators: Mapping[int, bool], staff_id: int) -> None:
    """An invitation is no one yet: it may lapse, and its address may be wrong. So the last who came in by one stays."""
    others = [works for one, works in administrators.items() if one != staff_id]
    if staff_id not in administrators:
        return
    if not others:
        raise Refused("You cannot remove the last administrator. Make someone else one first")
    if administrators[staff_id] and not any(others):
        raise Refused(
            "You cannot remove the last administrator who can sign in. Wait until another one has signed in once"
        )


def _note(
    tx: store.Transaction,
    staff_id: int,
    what: Action,
    now: datetime,
    *,
    who: str,
    before: str | None = None,
    after: str | None = None,
) -> None:
    store.audit_log.note(tx, who=who, what=what, table="staff", row=staff_id, now=now, before=before, after=after)
