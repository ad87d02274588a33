"""Checks an exchange with a Twilio-like server against Twilio's own OpenAPI, if that file is available."""

import json
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

SPEC = Path(__file__).resolve().parents[1].parent / "shared" / "twilio-openapi-subset.json"


class _Asked:
    """A request in the form that openapi-core needs."""

    host_url = "https://api.twilio.com"

    def __init__(self, request):
        self.path = request.path
        self.method = request.method.lower()
        self.content_type = request.headers.get("content-type", "").lower()
        self.body = request.body or None
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(parse_qsl(request.query, keep_blank_values=True)),
            header=Headers(list(request.headers.items())),
        )


class _Answered:
    def __init__(self, response):
        self.status_code = response.status
        self.headers = Headers(list(response.headers.items()))
        self.content_type = self.headers.get("content-type", "").lower()
        self.data = response.body or None


def spec_is_here():
    """Whether the spec is available."""
    return SPEC.exists()


@cache
def _openapi():
    return OpenAPI.from_dict(json.loads(SPEC.read_text(encoding="utf-8")))


def check(request, response):
    """Raise openapi-core's error when the exchange breaks the spec; without the spec, nothing.

    Takes anything with method, path, query, headers (lower-case names), body, and status, headers, body. A request that
    was refused may have been wrong, so then only the answer is held against the spec; a 204 has no body to check.
    """
    if not spec_is_here():
        return
    asked = _Asked(request)
    if response.status < 400:
        _openapi().validate_request(asked)
    _openapi().validate_response(asked, _Answered(response))
