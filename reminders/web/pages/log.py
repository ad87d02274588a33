"""The delivery log."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from reminders import clock, store
from reminders.service import story
from reminders.store.texts import LogFilter
from reminders.web.access import Looking
from reminders.web.drawing import draw
from reminders.web.webhooks import TheHouse

router = APIRouter()

PER_PAGE = 100
WHENS = {"past": "Opened already", "ahead": "Still to open"}
LONGEST_REF = 64
LONGEST_CODE = 6


@router.get("/log", response_class=HTMLResponse)
def log(
    request: Request,
    house: TheHouse,
    actor: Looking,
    *,
    state: str = "",
    when: str = "",
    plan: str = "",
    code: str = "",
    before: str = "",
) -> HTMLResponse:
    """The delivery log: what became of each text, newest first. 422 with the problems for filters that are none.

    `before` names the last line of the page before this one; one that names nothing is the newest page.
    """
    now = clock.now()
    chosen = {"state": state.strip(), "when": when.strip(), "plan": plan.strip(), "code": code.strip()}
    problems = _problems(**chosen)
    after = _place(before)
    texts = []
    if not problems:
        wanted = LogFilter(
            state=chosen["state"] or None,
            plan=chosen["plan"] or None,
            until=now if chosen["when"] == "past" else None,
            since=now if chosen["when"] == "ahead" else None,
            code=int(chosen["code"]) if chosen["code"] else None,
            before=after,
            limit=PER_PAGE + 1,
            sites=actor.sites("look"),
        )
        texts = house.database.read(lambda tx: store.texts.log(tx, wanted))
    shown = texts[:PER_PAGE]
    asked = {name: value for name, value in chosen.items() if value}
    older = asked | {"before": f"{shown[-1].opens_at.isoformat()}~{shown[-1].text}"} if len(texts) > PER_PAGE else None
    return draw(
        request,
        "log.html",
        status=422 if problems else 200,
        texts=shown,
        older=older and f"/log?{urlencode(older)}",
        newest=after and ("/log?" + urlencode(asked) if asked else "/log"),
        problems=problems,
        chosen=chosen,
        filtered=any(chosen.values()),
        longest={"plan": LONGEST_REF, "code": LONGEST_CODE},
        whens=WHENS,
    )


def _place(before: str) -> tuple[datetime, int] | None:
    at, _, text = before.partition("~")
    try:
        place = datetime.fromisoformat(at).astimezone(UTC), int(text)
    except (ValueError, OverflowError):
        return None
    return place if 0 < place[1] < 2**63 else None


def _problems(*, state: str, when: str, plan: str, code: str) -> dict[str, str]:
    """What is wrong with the filters, by field, in words that say what to do (screens-and-stack.md §1.2)."""
    problems = {}
    if state and state not in story.STATES:
        problems["state"] = "Choose a state from the list"
    if when and when not in WHENS:
        problems["when"] = "Choose when from the list"
    if len(plan) > LONGEST_REF:
        problems["plan"] = f"Plan reference must be {LONGEST_REF} characters or fewer"
    elif not plan.isprintable():
        problems["plan"] = "Enter a plan reference as it stands in the plan, such as DC-2026-1187"
    if code and not (code.isascii() and code.isdecimal() and len(code) <= LONGEST_CODE and int(code)):
        problems["code"] = "Enter a Twilio code as a number, such as 30003"
    return problems
