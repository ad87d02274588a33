"""What Twilio calls. Signed over the configured public address, never the request's own host; otherwise 403."""

import asyncio
import logging
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, BackgroundTasks, Depends, HTTPException, Request, Response
from starlette.requests import ClientDisconnect

from reminders import clock
from reminders.service import AppContext
from reminders.service.operations import metrics, runs
from reminders.service.replies import inbound
from reminders.service.sending import outcomes
from reminders.sms.receipts import EMPTY_TWIML, is_legal, is_signed, read_inbound, read_receipt
from reminders.web.access import ANYBODY

log = logging.getLogger(__name__)
router = APIRouter(prefix="/sms", dependencies=[Depends(ANYBODY)])  # the signature is what lets them in

MOST_FIELDS = 200
MOST_SECONDS = 3.0  # for the body to arrive: as long as our callbacks ask Twilio to wait; a restart waits for it


async def app_context(request: Request) -> AppContext:  # ruff: ignore[unused-async]  a plain function would cost a thread
    """What this application stands on."""
    context: AppContext = request.app.state.context
    return context


TheContext = Annotated[AppContext, Depends(app_context)]


async def signed_form(request: Request, context: TheContext) -> list[tuple[str, str]]:
    """The form of a signed request, blank fields kept (a dropped one would break the signature). 403 otherwise.

    403 too for a signed form that Twilio cannot have sent: its signature says nothing of where a name ends.
    413 for a body over `web.webhook_bytes`, 408 for one that does not arrive in MOST_SECONDS, 400 for one that is no
    form.
    """
    most = context.settings.web.webhook_bytes
    try:
        async with asyncio.timeout(MOST_SECONDS):
            form = parse_qsl((await _body(request, most)).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except TimeoutError:
        raise HTTPException(408) from None
    except (ValueError, ClientDisconnect):
        raise HTTPException(400) from None
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    if not is_signed(
        public_url=context.settings.web.public_url,
        path_and_query=f"{path}?{query}" if query else path,
        form=form,
        signature=request.headers.get("x-twilio-signature"),
        tokens=[context.secrets.auth_token],
    ):
        metrics.UNSIGNED.labels("signature").inc()
        raise HTTPException(403)
    if not is_legal(form, account_sid=context.secrets.account_sid, of=path.rsplit("/sms/", 1)[-1].partition("/")[0]):
        log.warning("a signed webhook that Twilio cannot have sent was refused")
        metrics.UNSIGNED.labels("shape").inc()
        raise HTTPException(403)
    return [(name, value.replace("\0", "\ufffd")) for name, value in form]  # PostgreSQL keeps no NUL


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(413)
    return bytes(body)


SignedForm = Annotated[list[tuple[str, str]], Depends(signed_form)]


@router.post("/status/{ref}", status_code=204)
def status(ref: str, form: SignedForm, context: TheContext) -> Response:
    """A status callback for the attempt that carries `ref`. 204, also for one that is none of ours: it is logged."""
    receipt = read_receipt(form)
    if receipt is not None:
        metrics.receipt(receipt.status, receipt.error_code)
    if receipt is None:
        log.warning("a status callback without a status")
    elif "\0" in ref or not outcomes.receive(context, ref, receipt, dict(form), clock.now()):
        log.warning("a status callback for an attempt that is none of ours")
    return Response(status_code=204)


@router.post("/inbound")
def inbound_text(form: SignedForm, context: TheContext, later: BackgroundTasks) -> Response:
    """An inbound text. The TwiML is empty: what we say back is a text of ours, with its own record.

    An urgent answer, and the page that calls someone, go right after the commit, when Twilio has its answer.
    """
    text = read_inbound(form)
    if text is not None:
        metrics.REPLIES.inc()
        later.add_task(runs.answer_now, context, inbound.take_in(context, text, clock.now()))
    return Response(EMPTY_TWIML, media_type="text/xml", background=later)
