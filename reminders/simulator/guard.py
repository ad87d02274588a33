"""Who may call the simulator: programs on this machine, but no web page in a browser on it."""

import ipaddress
import json
from urllib.parse import urlsplit

from reminders.simulator.exchange import Request, Response

# The types that a page of any site may send without a preflight; no program of ours sends them (SEC-16).
_OF_PAGES = ("text/plain", "multipart/form-data")


def refused(request: Request) -> Response | None:
    """The refusal of a request that comes, or may come, from another site's web page; None for any other request.

    421 for a Host other than this machine, since a stranger's domain may resolve to it (DNS rebinding). 403 for a
    change requested by another site's page. 415 for a body type that only pages send; the pager accepts any.
    """
    host = request.headers.get("host", "")
    if not is_loopback(_hostname(f"//{host}")):
        return _refusal(421, "the Host of this request is not this machine")
    if request.method in {"GET", "HEAD"}:
        return None
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return _refusal(403, "a page of another site asks for this")
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return _refusal(403, "a page of another site asks for this")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _OF_PAGES and request.path.rstrip("/") != "/pager":
        return _refusal(415, "send JSON")
    return None


def is_loopback(host: str) -> bool:
    """Whether that host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _refusal(status: int, problem: str) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps({"problem": problem}).encode())
