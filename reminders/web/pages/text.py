"""One text: what happened to it in order, why, and what is to be done by whom."""

import json

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from reminders import clock
from reminders.queries import delivery_log, explanations
from reminders.service.sending import failed_texts
from reminders.web.access import Looking
from reminders.web.render import draw
from reminders.web.webhooks import TheContext
from reminders.wording import staff_words

router = APIRouter()


@router.get("/texts/{text}", response_class=HTMLResponse)
def show(request: Request, context: TheContext, actor: Looking, text: str) -> HTMLResponse:
    """One text. Its words are for who may see people, what Twilio sent for who may see that; reads are recorded."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < 2**63):
        raise HTTPException(404)
    now = clock.now()
    found = delivery_log.whole(
        context.database,
        int(text),
        now,
        sites=actor.sites("look"),
        bodies=actor.sites("people"),
        raw=actor.sites("raw"),
        who=actor.who,
    )
    if found is None:
        raise HTTPException(404)
    return draw(
        request,
        "text.html",
        one=found.text,
        tries=found.tries,
        steps=found.steps,
        explained=explanations.explain(found.text),
        classes=staff_words.CLASSES,
        raws=[
            (one.number, heard.status, _laid_out(heard.raw)) for one in found.tries for heard in one.heard if heard.raw
        ],
        may_read=found.may_read,
        may_try=actor.may("operate") and found.text.state == "undelivered",
        why_not=failed_texts.why_not_again(found.text, now),
        may_task=actor.may("answer"),
    )


def _laid_out(raw: str) -> str:
    try:
        return json.dumps(json.loads(raw), indent=2, sort_keys=True, ensure_ascii=False)
    except ValueError:
        return raw
