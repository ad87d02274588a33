"""What texts say, in every language side by side, and what each takes; the words that are refused; a box to try."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from reminders import languages, wording
from reminders.web.access import Looking
from reminders.web.forms import Form
from reminders.web.render import draw
from reminders.web.webhooks import TheContext
from reminders.wording.segments import segments

router = APIRouter()

ACCENTED = "Peña Street Annex"
GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("reminders", "Reminders", ("reminder",)),
    ("notices", "Notices of a change", ("moved", "called_off", "closed", "missed")),
    ("welcome", "The first text, and the number verified", ("welcome", "verified")),
    ("danger", "To who may be in danger", ("crisis", "overdose", "slip", "intent")),
    ("answers", "Answers", ("",)),
)
"""Id, title, and how the ids of its texts begin; the first that fits."""
LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A text filled in, and what it takes."""

    kind: str
    body: str
    units: int
    segments: int
    encoding: str


@router.get("/wording", response_class=HTMLResponse)
def show(request: Request, context: TheContext, actor: Looking) -> HTMLResponse:
    """Every text of the catalog."""
    del actor
    return _page(request, context)


@router.post("/wording", response_class=HTMLResponse)
def try_out(request: Request, context: TheContext, actor: Looking, form: Form) -> HTMLResponse:
    """Try a sentence: whether it might be sent, and if not why. Nothing is kept of it."""
    del actor
    typed = form["sentence"]
    if len(typed) > LONGEST:
        return _page(request, context, typed[:LONGEST], {"sentence": f"Shorten it to {LONGEST} characters"})
    sent = wording.plainer(typed)
    return _page(request, context, typed, verdict=(sent, wording.check_typed(sent), segments(sent)))


def _page(
    request: Request,
    context: TheContext,
    typed: str = "",
    problems: Mapping[str, str] | None = None,
    verdict: object = None,
) -> HTMLResponse:
    site = context.settings.site
    refused = dict(wording.refused_words())
    return draw(
        request,
        "wording.html",
        status=422 if problems else 200,
        groups=_groups(site.alias, site.phone, site.line24),
        languages=languages.offered(),
        abbreviations=refused.pop("abbreviations"),
        refused=refused,
        typed=typed,
        problems=problems or {},
        verdict=verdict,
        longest=LONGEST,
    )


def _groups(alias: str, phone: str, line24: str) -> list[tuple[str, str, list[tuple[str, dict[str, list[Sample]]]]]]:
    """The texts by group: id, title, and of each text its name and its samples by language."""
    texts: dict[str, dict[str, list[Sample]]] = {}
    for language in languages.offered():
        kinds = {
            "as it reads on an ordinary day": wording.examples(language, alias=alias, phone=phone, line24=line24),
            "signed with accents": wording.examples(language, alias=ACCENTED, phone=phone, line24=line24),
            "as long as it can be": wording.samples(language),
        }
        for kind, samples in kinds.items():
            for one in samples:
                takes = segments(one.body)
                sample = Sample(kind, one.body, takes.units, takes.count, takes.encoding)
                texts.setdefault(one.template, {}).setdefault(language, []).append(sample)
    found: dict[str, list[tuple[str, dict[str, list[Sample]]]]] = {group: [] for group, _, _ in GROUPS}
    for name, by_language in texts.items():
        group = next(group for group, _, starts in GROUPS if name.startswith(starts))
        found[group].append((name, by_language))
    return [(group, title, found[group]) for group, title, _ in GROUPS]
