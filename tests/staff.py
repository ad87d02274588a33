"""Staff of the tests, and browsers in which they are signed in, without hashing a password, so it is fast."""

from reminders import clock, store
from reminders.service.office import accounts, signing_in
from reminders.web import access


def member(context, role: str, site: str | None = None) -> str:
    """The login of someone with that role, at that site or at every one."""
    login = f"{role}.{site or 'everywhere'}"
    if context.database.read(lambda tx: store.accounts.by_login(tx, login)) is None:
        accounts.invite(context, login, f"Someone with {role}", role, clock.now(), who="test", site=site)
    return login


def token(context, role: str, site: str | None = None) -> str:
    """The token of a sign-in of someone with that role."""
    login = member(context, role, site)

    def work(tx):
        return signing_in.open_for(tx, store.accounts.by_login(tx, login), clock.now(), where="127.0.0.1", how="test")

    return context.database.write(work)


def cookies(context, role: str, site: str | None = None) -> dict[str, str]:
    """The cookies of a browser in which someone with that role is signed in."""
    return {access.cookie_name(context.settings): token(context, role, site)}


def actor(context, role: str, site: str | None = None) -> accounts.Actor:
    """Someone with that role, as a route receives them."""
    return signing_in.enter(context, token(context, role, site), clock.now())


def signed_in(client, context, role: str, site: str | None = None):
    """That client (of httpx or starlette), signed in as someone with that role, and on one of our pages."""
    client.cookies.update(cookies(context, role, site))
    client.headers["sec-fetch-site"] = "same-origin"
    return client
