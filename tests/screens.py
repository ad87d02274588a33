"""Every screen: its name, its address in the town, and its user. For the accessibility walk and the pictures."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
import staff

from reminders import clock, plans, queries, store
from reminders.store.database import schema


@dataclass(frozen=True)
class Screen:
    """One screen. `path` may contain names of `places`."""

    name: str
    path: str
    role: str | None = "admin"


SCREENS = (
    Screen("sign-in", "/sign-in", None),
    Screen("today", "/"),
    Screen("plans", "/plans"),
    Screen("new-plan", "/plans/new"),
    Screen("plan", "/plans/{plan}"),
    Screen("patient-timeline", "/patients/{patient}"),
    Screen("patient-messages", "/patients/{patient}/messages"),
    Screen("sessions", "/sessions"),
    Screen("session", "/sessions/{session}"),
    Screen("attendance", "/attendance"),
    Screen("inbox", "/inbox"),
    Screen("urgent-task", "/inbox/{task}"),
    Screen("log", "/log"),
    Screen("text", "/texts/{text}"),
    Screen("health", "/health"),
    Screen("wording", "/wording"),
    Screen("sites", "/sites"),
    Screen("site", "/sites/main"),
    Screen("staff", "/users"),
    Screen("audit", "/audit"),
    Screen("account", "/account"),
    Screen("help", "/help"),
    Screen("phones", "/phones"),
)


FURTHER = (
    Screen("patient-plans", "/patients/{patient}/plans"),
    Screen("patient-consent", "/patients/{patient}/consent"),
    Screen("patient-access", "/patients/{patient}/access"),
    Screen("card", "/patients/{patient}/card"),
    Screen("new-number", "/patients/{patient}/do/number"),
    Screen("change-plan", "/plans/{plan}/edit"),
    Screen("end-plan", "/plans/{plan}/change/end"),
    Screen("visit", "/plans/{plan}/visits/{visit}"),
    Screen("held", "/held/backlog"),
    Screen("new-site", "/sites/new"),
    Screen("pause-site", "/sites/main/pause"),
    Screen("new-staff", "/users/new"),
    Screen("one-of-staff", "/users/{somebody}"),
    Screen("reset", "/users/{somebody}/do/reset"),
    Screen("password", "/account/do/password"),
    Screen("audit-entry", "/audit/{audit}"),
)
"""What stands behind another screen: walked, and not pictured."""


def places(context) -> dict[str, object]:
    """What the addresses name: a plan, its patient, the next session, the urgent task, a text that failed."""
    now = clock.now()
    today = plans.to_wall(now, context.settings.site.zone).date()

    def look(tx):
        sites = {row.id for row in store.people.all_sites(tx)}
        (plan, *_) = queries.plans.list_plans(tx, sites, queries.plans.PlanFilter(status="active"), now)
        (session, *_) = queries.visits.list_sessions(tx, sites, today, today + timedelta(days=14))
        texts = queries.texts.log(tx, queries.texts.LogFilter(state="undelivered")) or queries.texts.log(
            tx, queries.texts.LogFilter()
        )
        return {
            "plan": plan.id,
            "patient": plan.patient_id,
            "session": f"{session.session_id}/{session.on}",
            "text": texts[0].text,
            "visit": queries.visits.list_visits(tx, sites, now, None, plan=plan.ref, limit=1)[0].id,
            "audit": tx.value(sa.select(sa.func.max(schema.audit.c.id))),
        }

    (task, *_) = queries.tasks.list_tasks(context.database)
    login = staff.member(context, "ops")
    somebody = context.database.read(lambda tx: store.accounts.by_login(tx, login))
    return context.database.read(look) | {"task": task.id, "somebody": somebody.id}
