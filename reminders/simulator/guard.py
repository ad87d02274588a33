"""Who may speak to the simulator: programs on this machine. A web page in a browser there is a stranger's program."""

import ipaddress
import json
from urllib.parse import urlsplit

from reminders.simulator.exchange import Request, Response

# What a page of any site may send without asking first, beside a form: no program of ours does (SEC-16).
_OF_PAGES = ("text/plain", "multipart/form-data")


def refused(request: Request) -> Response | None:
    """The refusal of a request that a web page of another site makes, or may be making; None for any other.

    421 for a Host that is not this machine: the name of a stranger's site may lead here (DNS rebinding). 403 for what
    changes something and comes from another site's page. 415 for a body as only a page sends it; the pager takes any.
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
