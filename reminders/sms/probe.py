"""Call our own webhooks at the public address, to see whether Twilio could reach them (go-live)."""

from twilio.request_validator import RequestValidator

from reminders.sms.transport import CurlTransport, MaybeSent, NotSent


async def is_shown(public_url: str, path: str) -> bool:
    """Whether the page at `public_url` + `path`, meant for this machine only, is open to the whole world."""
    line = CurlTransport(deadline=10)
    try:
        answer = await line.request("GET", public_url.rstrip("/") + path)
    except (NotSent, MaybeSent):
        return False
    finally:
        await line.close()
    return bool(answer.status_code == 200)


async def probe_webhook(public_url: str, path: str, auth_token: str, account_sid: str) -> str | None:
    """What is wrong with the webhook at `public_url` + `path`; None if it accepts a signed call and refuses others.

    The signed call has only the account, so it has no effect.
    """
    url = public_url.rstrip("/") + path
    form = {"AccountSid": account_sid}
    signature = RequestValidator(auth_token).compute_signature(url, form)
    line = CurlTransport(deadline=10)
    try:
        signed = await line.request("POST", url, data=form, headers={"X-Twilio-Signature": signature})
        unsigned = await line.request("POST", url, data=form)
    except (NotSent, MaybeSent) as wire:
        return f"not reachable: {wire.why}"
    finally:
        await line.close()
    if signed.status_code not in {200, 204}:
        return f"refuses a signed call with {signed.status_code}: another public address, account or auth token there?"
    if unsigned.status_code != 403:
        return f"answers an unsigned call with {unsigned.status_code} instead of 403"
    return None
