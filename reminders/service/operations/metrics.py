"""What this process counts about itself, for Prometheus: counters, histograms and the process's own figures.

Web process and worker each show their own. No label says who, to whom, or what a text says: each has few values that
are known beforehand. docs/metrics.md lists them all.
"""

import logging
import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from reminders import __version__
from reminders.sms import codes

log = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]  # as the library types it
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_BUILD = Gauge("reminders_build_info", "1, with the version of the program", ["version"], registry=REGISTRY)
_BUILD.labels(__version__).set(1)
_QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ANSWERS = Counter(
    "reminders_attempts_total",
    "Calls to Twilio that asked it to send a text, by its answer",
    ["answer"],
    registry=REGISTRY,
)
ANSWERED_IN = Histogram(
    "reminders_attempt_duration_seconds",
    "How long Twilio took to answer such a call",
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
SEGMENTS = Counter("reminders_segments_total", "Segments of the texts that Twilio took", registry=REGISTRY)
CODES = Counter(
    "reminders_twilio_errors_total",
    "Codes of refusals and of texts that did not arrive; other: one that we have no entry for",
    ["code"],
    registry=REGISTRY,
)
RECEIPTS = Counter(
    "reminders_receipts_total", "Callbacks about texts of ours, as Twilio made them", ["status"], registry=REGISTRY
)
REPLIES = Counter("reminders_replies_total", "Texts to us that a webhook brought", registry=REGISTRY)
UNSIGNED = Counter("reminders_webhooks_refused_total", "Webhooks that were refused", ["reason"], registry=REGISTRY)
PAGES = Counter("reminders_pages_total", "Tries to page someone, by what came of them", ["result"], registry=REGISTRY)
JOBS = Counter("reminders_job_runs_total", "Runs of each job, by how they ended", ["job", "result"], registry=REGISTRY)
JOBS_IN = Histogram(
    "reminders_job_duration_seconds",
    "How long each job ran",
    ["job"],
    registry=REGISTRY,
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300),
)
REQUESTS = Counter(
    "reminders_http_requests_total",
    "Requests by method, route and status",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUESTS_IN = Histogram(
    "reminders_http_request_duration_seconds", "How long a request took", ["route"], registry=REGISTRY, buckets=_QUICK
)

_STATUSES = {"accepted", "queued", "sending", "sent", "delivered", "undelivered", "failed", "read", "canceled"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def code_of(code: int) -> str:
    """A code as a label; codes that Twilio invents tomorrow are one value."""
    return str(code) if codes.is_known(code) else "other"


def receipt(status: str, error_code: int) -> None:
    """A callback came."""
    RECEIPTS.labels(status if status in _STATUSES else "other").inc()
    if error_code:
        CODES.labels(code_of(error_code)).inc()


def answered(answer: str, seconds: float, *, segments: int, error_code: int) -> None:
    """Twilio answered a call, or did not."""
    ANSWERS.labels(answer).inc()
    ANSWERED_IN.observe(seconds)
    if answer == "accepted":
        SEGMENTS.inc(segments)
    elif error_code:
        CODES.labels(code_of(error_code)).inc()


def request(method: str, route: str, status: int, seconds: float) -> None:
    """A request was answered. `route` is the template of its address, never the address."""
    REQUESTS.labels(method if method in _METHODS else "other", route, str(status)).inc()
    REQUESTS_IN.labels(route).observe(seconds)


def serve(host: str, port: int) -> tuple[WSGIServer, threading.Thread] | None:
    """Show what a worker counts, at `/metrics` of that address; None where another process has it."""
    try:
        server, thread = start_http_server(port, host, registry=REGISTRY)
    except OSError as taken:
        log.warning("the worker's metrics are not shown at port %d: %s", port, taken.strerror)
        return None
    return server, thread
