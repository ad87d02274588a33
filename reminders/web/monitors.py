"""For machines that watch: is the process up, can it work, how does the service, how much of what."""

from collections.abc import Iterator

from fastapi import APIRouter, Depends, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reminders import clock, queries
from reminders.queries import statistics
from reminders.service import AppContext
from reminders.service.operations import health, upgrade
from reminders.service.operations import metrics as process
from reminders.web.access import ANYBODY, MONITORS
from reminders.web.webhooks import TheContext

router = APIRouter()


@router.get("/healthz", dependencies=[Depends(ANYBODY)])
async def healthz() -> dict[str, bool]:
    """The process answers; on the event loop, so also while every thread waits for the database."""
    return {"ok": True}


@router.get("/readyz", dependencies=[Depends(ANYBODY)])
def readyz(context: TheContext) -> JSONResponse:
    """Whether the process can do its work: the database answers, its schema is this code's, our keys open what is
    sealed. 503 otherwise.

    Nothing else counts. A balancer takes an unready process away, and when Twilio or a worker is away replies must be
    heard as ever: /statusz reports on the service.
    """
    try:
        upgrade.check_again(context.database)
        context.database.read(lambda tx: tx.fingerprints("+12025550100"))  # without it no reply is taken in
        troubles = []
    except (queries.WrongSchema, queries.Unavailable, queries.Unreadable, LookupError) as error:
        troubles = [str(error)]
    return JSONResponse({"ok": not troubles, "troubles": troubles}, 200 if not troubles else 503)


@router.get("/statusz", dependencies=[Depends(MONITORS)])
def statusz(context: TheContext) -> Response:
    """The service as a whole, as `reminders status --json` prints it; 503 where it is not ok."""
    try:
        upgrade.check_again(context.database)
        status = health.status(context, clock.now())
    except (queries.WrongSchema, queries.Unavailable, queries.Unreadable, LookupError) as error:
        return JSONResponse({"ok": False, "troubles": [str(error)]}, 503)
    said = jsonable_encoder(status.as_json())
    return JSONResponse(said, 200 if status.ok else 503)


class _Figures(Collector):
    """The figures of one scrape, from the same queries as `status` and the log."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    def collect(self) -> Iterator[Metric]:
        up = "1 when the database answers; without it there are no figures of the service"
        try:
            figures = statistics.figures(self._context.database)
            now = health.status(self._context, clock.now())
        except queries.Unavailable:
            yield GaugeMetricFamily("reminders_database_up", up, value=0)
            return
        yield GaugeMetricFamily("reminders_database_up", up, value=1)
        texts = GaugeMetricFamily("reminders_texts", "Texts by state", labels=["state"])
        for state, count in figures.texts.items():
            texts.add_metric([state], count)
        yield texts
        yield GaugeMetricFamily("reminders_ok", "1 when status is ok", value=float(now.ok))
        yield GaugeMetricFamily("reminders_due", "Texts due and not yet handed over", value=now.due)
        yield GaugeMetricFamily(
            "reminders_oldest_due_seconds", "How long the oldest of them has waited", value=now.oldest_due_seconds or 0
        )
        ages = GaugeMetricFamily("reminders_job_age_seconds", "Age of each job's last success", labels=["job"])
        for name, job in now.jobs.items():
            ages.add_metric([name], job.age_seconds if job.age_seconds is not None else float("inf"))
        yield ages
        broken = GaugeMetricFamily("reminders_rule_broken", "1 while a health rule is broken", labels=["rule"])
        value = GaugeMetricFamily("reminders_rule_value", "The figure that a health rule looks at", labels=["rule"])
        for one in now.findings:
            broken.add_metric([one.rule.name], float(one.found.state == "bad"))
            value.add_metric([one.rule.name], one.found.value)
        yield from (broken, value)
        tasks = GaugeMetricFamily("reminders_tasks_open", "Open tasks by urgency", labels=["urgency"])
        for urgency, count in figures.tasks.items():
            tasks.add_metric([urgency], count)
        yield tasks
        yield GaugeMetricFamily("reminders_tasks_ringing", "Urgent ones no one has acknowledged", value=now.ringing)
        yield GaugeMetricFamily("reminders_pages_waiting", "Pages that no contact's service has taken", value=now.pages)


@router.get("/metrics", dependencies=[Depends(MONITORS)])
def metrics(context: TheContext) -> Response:
    """Prometheus figures: those of the service, and what this process counts. docs/metrics.md lists them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(context))
    said = generate_latest(registry) + generate_latest(process.REGISTRY)
    return Response(said, media_type="text/plain; version=0.0.4; charset=utf-8")
