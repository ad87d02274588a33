"""Staff of the tests, and browsers in which they are signed in: no password is hashed for it, so it is quick."""

from reminders import clock, store
from reminders.service.office import accounts, signing_in
from reminders.web import access


def member(house, role: str, site: str | None = None) -> str:
    """The login of somebody with that role, at that site or at every one."""
    login = f"{role}.{site or 'everywhere'}"
    if house.database.read(lambda tx: store.accounts.by_login(tx, login)) is None:
        accounts.invite(house, login, f"Somebody with {role}", role, clock.now(), who="test", site=site)
    return login


def token(house, role: str, site: str | None = None) -> str:
    """The token of a sign-in of somebody with that role."""
    login = member(house, role, site)

    def work(tx):
        return signing_in.open_for(tx, store.accounts.by_login(tx, login), clock.now(), where="127.0.0.1", how="test")

    return house.database.write(work)


def cookies(house, role: str, site: str | None = None) -> dict[str, str]:
    """The cookies of a browser in which somebody with that role is signed in."""
    return {access.cookie_name(house.settings): token(house, role, site)}


def actor(house, role: str, site: str | None = None) -> accounts.Actor:
    """Somebody with that role, as a route gets them."""
    return signing_in.enter(house, token(house, role, site), clock.now())


def signed_in(client, house, role: str, site: str | None = None):
    """That client (of httpx or starlette), signed in as somebody with that role, and on one of our pages."""
    client.cookies.update(cookies(house, role, site))
    client.headers["sec-fetch-site"] = "same-origin"
    return client
