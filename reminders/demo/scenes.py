"""The patients of the demo and what becomes of their texts: two dozen invented people on real programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from reminders import plans

ZONE = "America/New_York"
PAGE_SECONDS = 6.0
ARRIVE, TROUBLE, LOST, HELD = (
    "They arrive",
    "They arrive in spite of trouble",
    "They do not arrive, and we say so",
    "Held back, and we say why",
)
FAMILY = {
    "key": "sister",
    "role": "supporter",
    "phone": "+12025550139",
    "language": "es",
    "zone": ZONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A visit outside the program, on its own date.

    The window of its text opens `opens_in` seconds after the plan is entered.
    """

    kind: str = "therapy_individual"
    opens_in: float = 8
    lead: str = "1h"
    reader: str = "self"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One invented patient, who shows one outcome.

    `enters` is when the plan is entered, in seconds after the start. `weeks_in` says how many weeks ago the program
    began, on today's weekday, so that it meets today; None: it begins in three days, and the `visits` come before. The
    scene shows the text of the last visit. `ends` is its expected final state, `because` the reason or Twilio's code
    with it, and `tries` the number of calls to Twilio. What the patient `writes` comes before the text.
    """

    name: str
    shows: str
    group: str
    program: str
    ends: str
    enters: float = 0
    weeks_in: int | None = None
    visits: tuple[Visit, ...] = ()
    because: str | int | None = None
    tries: int = 1
    zone: str = ZONE
    language: str = "en"
    said: str = "yes"
    per_week: int | None = None  # the frequency agreed to
    status: str = "active"
    rules: tuple[Mapping[str, Any], ...] = ()
    landline: bool = False
    stops_after: float | None = None
    writes: str | None = None
    called_off_after: float | None = None
    an_hour_ago: bool = False


OFF = {"error_code": 30003, "after": 0.5}

SCENES = (
    Scene(
        name="Jordan Alvarez",
        shows="a reminder, as it should be",
        group=ARRIVE,
        program="matrix-iop",
        visits=(Visit(opens_in=4),),
        ends="delivered",
    ),
    Scene(
        name="Lucia Ferrer",
        shows="in Spanish",
        group=ARRIVE,
        program="weekly-cbt",
        weeks_in=3,
        language="es-MX",
        ends="delivered",
    ),
    Scene(
        name="Dana Petrov",
        shows="to a phone in California",
        group=ARRIVE,
        program="telephone-continuing-care",
        weeks_in=5,
        zone="America/Los_Angeles",
        ends="delivered",
    ),
    Scene(
        name="Robin Castellano",
        shows="two visits, one text",
        group=ARRIVE,
        program="php",
        enters=8,
        visits=(Visit(kind="psychiatry", opens_in=4), Visit(kind="check_up", opens_in=5)),
        ends="delivered",
    ),
    Scene(
        name="Noor Haddad",
        shows="to the sister she named",
        group=ARRIVE,
        program="family-education",
        enters=16,
        visits=(Visit(kind="family_session", reader="sister"),),
        ends="delivered",
    ),
    Scene(
        name="Tess Moreau",
        shows="40 seconds on the way",
        group=ARRIVE,
        program="contingency-management",
        enters=10,
        visits=(Visit(kind="check_up", opens_in=4),),
        rules=({"outcome": "delivered", "after": 40},),
        ends="delivered",
    ),
    Scene(
        name="Priya Nair",
        shows="receipts twice, disordered",
        group=ARRIVE,
        program="weekly-outpatient",
        enters=24,
        weeks_in=9,
        rules=({"disorder": "doubled", "copies": 1}, {"disorder": "swapped", "about": "sent", "seconds": 20}),
        ends="delivered",
    ),
    Scene(
        name="Sam Okafor",
        shows="phone off for an hour",
        group=TROUBLE,
        program="iop",
        visits=(Visit(kind="psychiatry", opens_in=30, lead="2h"),),
        # 30003, and its receipt is lost too, so we ask. The next try finds the phone on.
        rules=({**OFF, "times": 1}, {"disorder": "dropped", "lasts": 6}),
        an_hour_ago=True,
        ends="delivered",
        tries=2,
    ),
    Scene(
        name="Gray Sandoval",
        shows="Twilio's answer is lost",
        group=TROUBLE,
        program="mi-met",
        enters=30,
        weeks_in=5,
        # Twilio accepts and sends the text, but neither the answer nor a receipt reaches us: only a look-up can tell.
        rules=({"fault": "close_after_create", "times": 1}, {"disorder": "dropped"}),
        ends="delivered",
    ),
    Scene(
        name="Alex Brandt",
        shows="Twilio is busy at first",
        group=TROUBLE,
        program="monthly-aftercare",
        enters=45,
        weeks_in=2,
        rules=({"fault": "too_many", "times": 1},),
        ends="delivered",
        tries=2,
    ),
    Scene(
        name="Pat Lindgren",
        shows="a landline",
        group=LOST,
        program="relapse-prevention",
        enters=14,
        visits=(Visit(opens_in=4),),
        landline=True,
        ends="undelivered",
        because=30006,
    ),
    Scene(
        name="Kim Delacroix",
        shows="no one has the number",
        group=LOST,
        program="weekly-outpatient",
        enters=34,
        weeks_in=20,
        rules=({"error_code": 30005},),
        ends="undelivered",
        because=30005,
    ),
    Scene(
        name="Lee Hawthorne",
        shows="phone off: tried again",
        group=LOST,
        program="iop",
        enters=20,
        # A lead of two hours leaves time for the 45 minutes that the table of codes waits after 30003.
        visits=(Visit(kind="psychiatry", lead="2h", opens_in=4),),
        rules=(OFF,),
        ends="scheduled",
        because=30003,
    ),
    Scene(
        name="Toni Marchetti",
        shows="STOP is faster than we are",
        group=LOST,
        program="weekly-cbt",
        enters=55,
        weeks_in=6,
        rules=({"fault": "stop_first", "times": 1},),
        ends="undelivered",
        because=21610,
    ),
    Scene(
        name="Ola Winther",
        shows="the network says nothing",
        group=LOST,
        program="telephone-continuing-care",
        enters=40,
        weeks_in=8,
        rules=({"outcome": "silent"},),
        ends="sent",
    ),
    Scene(
        name="Max Whitfield",
        shows="called off in time",
        group=HELD,
        program="matrix-iop",
        enters=2,
        visits=(Visit(opens_in=70),),
        called_off_after=34,
        ends="cancelled",
        tries=0,
    ),
    Scene(
        name="Ines Carvalho",
        shows="texts STOP in time",
        group=HELD,
        program="matrix-iop",
        enters=2,
        visits=(Visit(opens_in=80),),
        stops_after=46,
        ends="suppressed",
        because="opted_out",
        tries=0,
    ),
    Scene(
        name="Charlie Novak",
        shows="never said yes",
        group=HELD,
        program="weekly-cbt",
        weeks_in=2,
        said="no",
        ends="suppressed",
        because="no_consent",
        tries=0,
    ),
    Scene(
        name="Yuki Tanabe",
        shows="one text a day, no more",
        group=HELD,
        program="psychiatry",
        enters=26,
        # Both windows open at the same moment. The earlier visit takes the day's and the week's room.
        per_week=1,
        visits=(Visit(opens_in=4), Visit(kind="check_up", opens_in=4, lead="2d")),
        ends="suppressed",
        because="cap_day",
        tries=0,
    ),
    Scene(
        name="Marta Eklund",
        shows="plan paused",
        group=HELD,
        program="monthly-aftercare",
        enters=36,
        weeks_in=1,
        status="paused",
        ends="suppressed",
        because="paused",
        tries=0,
    ),
    Scene(
        name="Devon Ashby",
        shows="meetings were not agreed to",
        group=HELD,
        program="matrix-iop",
        enters=44,
        visits=(Visit(kind="support_meeting"),),
        ends="suppressed",
        because="category_off",
        tries=0,
    ),
    Scene(
        name="Rory Calloway",
        shows="typed in 20 minutes before",
        group=HELD,
        program="iop",
        enters=52,
        visits=(Visit(opens_in=-2400),),
        ends="suppressed",
        because="too_late",
        tries=0,
    ),
    Scene(
        name="Wren Abernathy",
        shows="next step not confirmed",
        group=HELD,
        program="step-down",
        enters=60,
        weeks_in=12,
        ends="suppressed",
        because="not_booked",
        tries=0,
    ),
    Scene(
        name="Jules Marchbanks",
        shows="writes: cannot go on",
        group=HELD,
        program="relapse-prevention",
        enters=12,
        visits=(Visit(opens_in=30),),
        writes="I can't go on, I don't want to live any more",
        ends="scheduled",
        because="crisis",
        tries=0,
    ),
)
# The people of a group this evening; some also had one this morning. On the pages a session is moved for all of them.
GROUP = (
    "Ari Bergstrom",
    "Bea Fontaine",
    "Cal Ito",
    "Dee Osei",
    "Eli Rasmussen",
    "Fay Quintero",
    "Gus Halloran",
    "Hana Sokolova",
    "Ivo Brandao",
    "Joy Mbeki",
    "Kit Vandenberg",
    "Liv Arsenault",
    "Moe Castillo",
    "Nan Ferreira",
)
GROUP_REFS = tuple(f"G-{place:02}" for place in range(1, len(GROUP) + 1))
GROUP_PHONES = tuple(f"+1202555{place:04}" for place in range(140, 140 + len(GROUP)))
MET_THIS_MORNING, WITHOUT_CONSENT, ASKS = 6, 4, 1  # how many, who, and who texts a question
QUESTION = "Is there somewhere to park?"
WRITES_AFTER = 10  # seconds after the plan is entered
REFS = tuple(f"D-{place:02}" for place in range(1, len(SCENES) + 1))
PHONES = tuple(f"+1202555{place:04}" for place in range(110, 110 + len(SCENES)))


def plan_of(scene: Scene, place: int, now: datetime) -> tuple[dict[str, Any], str]:
    """The plan entered for a scene at `now`, as in a plan file, and the key of its text.

    This is how a real program's plan gets a visit whose text is due at once. If the program meets on the weekday on
    which it began, it began some whole weeks ago and meets in 75 minutes. Its text was due yesterday at 17:00, but the
    plan comes late and the window is still open, so the text is sent at once. If its weekdays are fixed, it begins in
    three days, and individual visits come before it, with a lead that opens within seconds.
    """
    program = plans.programs()[scene.program]
    today = plans.to_wall(now, ZONE).date()
    series = []
    if scene.weeks_in is not None:
        # A program's times are on the clinic's wall clock, wherever the reader is.
        soon = plans.to_wall(now + timedelta(minutes=76), ZONE).replace(second=0, microsecond=0)
        starts_on, at = soon.date() - timedelta(weeks=scene.weeks_in), f"{soon:%H:%M}"
        key = f"day:{soon.date()}:1d@17:00"
    else:
        starts_on, at, key = today + timedelta(days=3), "17:30", ""
    for number, visit in enumerate(scene.visits, 1):
        lead = plans.Lead.parse(visit.lead)
        opens_at = now + timedelta(seconds=visit.opens_in)
        starts = plans.to_wall(opens_at + (lead.before or timedelta(0)), scene.zone) + timedelta(days=lead.days)
        own = {"key": f"visit-{number}", "kind": visit.kind, "minutes": 50, "leads": [visit.lead]}
        own |= {"starts": starts.replace(microsecond=0).isoformat(), "zone": scene.zone, "for": [visit.reader]}
        series.append(own)
        key = f"day:{starts.date()}:{lead}"
    consent = _consent(today - timedelta(days=2), scene.said)
    readers = {visit.reader for visit in scene.visits}
    sister = {**FAMILY, "part2_consent_on": str(today), "consent": {**consent, "categories": ["family"]}}
    document = {
        "plan": {
            "ref": REFS[place],
            "discharged_on": str(min(starts_on, today) - timedelta(days=1)),
            "program": scene.program,
            "starts_on": str(starts_on),
            "program_times": {one.key: at for one in program.open_times({})},
            "status": scene.status,
        },
        "patient": {
            "ref": f"MRN-{REFS[place]}",
            "name": scene.name,
            "phone": PHONES[place],
            "language": scene.language,
            "zone": scene.zone,
        },
        "consent": {**consent, "categories": ["appointments"]}
        | ({"per_week": scene.per_week} if scene.per_week is not None else {}),
        "recipients": [sister] if "sister" in readers else [],
        "series": series,
    }
    return document, key


def group_at(now: datetime, *, met: bool = True) -> list[dict[str, Any]]:
    """The plans of a group that meets in three hours, or tomorrow morning if that is after midnight.

    If they have `met`, some of them had another group two hours ago, without marks of attendance.
    """
    wall = plans.to_wall(now, ZONE).replace(minute=0, second=0, microsecond=0)
    evening, morning = wall + timedelta(hours=4), wall - timedelta(hours=2)
    if evening.date() != wall.date():
        evening = datetime.combine(wall.date() + timedelta(days=1), datetime.min.time()).replace(hour=10)
    discharged_on = wall.date() - timedelta(days=16)
    found = []
    for place, name in enumerate(GROUP):
        series = [_meeting("evening-group", evening, ["2h"])]
        if met and place < MET_THIS_MORNING:
            series.append(_meeting("morning-group", morning, ["30m"]))
        found.append(
            {
                "plan": {"ref": GROUP_REFS[place], "discharged_on": str(discharged_on)},
                "patient": {
                    "ref": f"MRN-{GROUP_REFS[place]}",
                    "name": name,
                    "phone": GROUP_PHONES[place],
                    "language": "es" if place % 5 == 3 else "en",
                    "zone": ZONE,
                },
                "consent": _consent(discharged_on, "no" if place == WITHOUT_CONSENT else "yes")
                | {"categories": ["appointments"]},
                "series": series,
            }
        )
    return found


def _meeting(key: str, wall: datetime, leads: list[str]) -> dict[str, Any]:
    own = {"key": key, "kind": "therapy_group", "session": f"oak-{key}", "minutes": 90, "leads": leads}
    return own | {"starts": wall.isoformat(), "zone": ZONE, "with": "Dr. Lee", "place": "Room 2"}


def _consent(on: date, said: str) -> dict[str, Any]:
    return {
        "said": said,
        "on": str(on),
        "how": "signed form",
        "by": "A. Reyes",
        "warned_of_risk": True,
        "wording": "2026-10",
        "alias_shown": True,
        "verified": "read aloud",
    }
