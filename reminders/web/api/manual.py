"""The API described: the OpenAPI document, and a page to read it on and to try it out.

The page is drawn from the document, so it can be read without JavaScript; with it Swagger UI takes its place, served
from an installed package. Both are public: they say what there is, and nothing of anyone.
"""

import json
import re
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from reminders import __version__
from reminders.plans import PlanDocument
from reminders.plans import Problem as Wrong
from reminders.service.office.api_keys import SCOPES
from reminders.web.api import access, problems
from reminders.web.api.shapes import BODIES
from reminders.web.render import templates

router = APIRouter()

TAGS = {
    "plans": "Aftercare plans, and the texts they would send.",
    "patients": "Patients, their numbers and consents.",
    "appointments": "Dated appointments of plans.",
    "sessions": "What several patients' appointments share.",
    "texts": "Texts, and what became of them.",
    "replies": "What was texted to us.",
    "tasks": "What a person must do.",
    "sites": "Sites, and the switch that stops their sending.",
    "stats": "How the service does.",
}
_ABOUT = (
    "Plans, appointments, texts and tasks for other programs. Every request carries a key: "
    "`Authorization: Bearer rk_…`. Lists come in pages: ask for the next one with the `next` of the last. "
    "A POST with an Idempotency-Key can be made again for a day without being done twice. Changes can be held to the "
    "version that was looked at by If-Match. What is refused is application/problem+json."
)
_EXAMPLES: dict[str, Any] = {
    "ref": "DC-2026-1187", "plan": "DC-2026-1187", "patient": "MRN-1042", "patients": ["MRN-1042"], "site": "main",
    "zone": "America/New_York", "status": "active", "state": "scheduled", "kind": "therapy_individual",
    "to": "•••••••0143", "key": "day:2026-12-03:1d@17:00", "wall": "2026-12-03T15:00:00", "series": "therapy",
    "local": "2026-12-02T17:00:00", "language": "en", "recipient": "self", "text": "7531234567890123456", "next": None,
    "session": None, "name": None, "words": None, "error": None, "troubles": [],
}  # fmt: skip
_YES = {
    "said": "yes", "on": "2026-11-30", "how": "signed form", "by": "A. Reyes", "categories": ["appointments"],
    "warned_of_risk": True, "verified": "read aloud",
}  # fmt: skip
TAKEN: dict[str, Any] = {
    "Attendance": {"mark": "attended"},
    "Closing": {"outcome": "done"},
    "Ending": {"because": "completed"},
    "Move": {"to": "2026-12-04T11:00"},
    "NewConsent": {"consent": {"said": "no", "on": "2026-12-01"}},
    "NewNumber": {"phone": "(202) 555-0177", "consent": _YES},
    "Note": {"note": "Called back."},
    "OptOut": {"how": "voicemail", "received_on": "2026-12-01", "by": "front desk"},
    "PlanDocument": {
        "plan": {"ref": "DC-2026-1187", "discharged_on": "2026-12-01"},
        "patient": {"ref": "MRN-1042", "name": "Jordan Alvarez", "phone": "(202) 555-0143"},
        "consent": _YES,
        "series": [
            {"key": "a", "kind": "therapy_group", "starts": "2026-12-03T15:00", "repeats": "FREQ=WEEKLY;COUNT=8"}
        ],
    },
    "PlanSearch": {"ref": "DC-2026-1187"},
    "Search": {"search": "Alvarez"},
    "SessionAttendance": {"missed": ["MRN-1042"]},
    "Verification": {"how": "read aloud"},
    "Wrong": {"wrong": True},
}
"""What may be sent, by the name of its shape."""

# The sheet of Swagger UI draws its arrows as data: images; nothing else is needed beyond what every page has.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> Response:
    """The OpenAPI document of the API."""
    said = json.dumps(document(request.app), ensure_ascii=False, separators=(",", ":"))
    return Response(said, media_type="application/json")


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """The documentation page."""
    said = document(request.app)
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in said["paths"].items()
        for method, operation in methods.items()
    ]
    page = templates.get_template("api.html").render(
        path="/api/docs",
        actor=None,
        areas=(),
        more=(),
        paused=(),
        ringing=0,
        demo=False,
        done=None,
        about=_ABOUT,
        tags={tag: [one for one in operations if tag in one["tags"]] for tag in TAGS},
        said_of=TAGS,
        problems=problems.KINDS,
        scopes=SCOPES,
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": CSP})


def document(api: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: what FastAPI knows of the routes, with what the door adds to all of them. Made once."""
    if not hasattr(api.state, "document"):
        api.state.document = _document(api)
    said: dict[str, Any] = api.state.document
    return said


def _document(api: FastAPI) -> dict[str, Any]:
    described = get_openapi(
        title="Aftercare reminders",
        version=__version__,
        description=_ABOUT,
        routes=api.routes,
        tags=[{"name": name, "description": words} for name, words in TAGS.items()],
    )
    routes = {
        (f"/api/v1{one.path}", method.lower()): one
        for router in api.state.routers
        for one in router.routes
        for method in one.methods
    }
    described["paths"] = {f"/api{path}": methods for path, methods in described["paths"].items()}
    described["servers"] = [{"url": "/"}]
    schemas = described["components"]["schemas"]
    schemas.update(_schemas(schemas))
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    described["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key that `reminders api-keys make` printed."}
    }
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            _complete(operation, path, method, routes[path, method], schemas)
    return described


def _schemas(given: Collection[str]) -> dict[str, Any]:
    """What is taken, and problems; a part of a plan document that is named like something given is named apart."""
    models: list[tuple[type[BaseModel], Any]] = [(one, "validation") for one in (PlanDocument, *BODIES)]
    models += [(problems.Problem, "serialization")]
    _, found = models_json_schema(models, by_alias=True, ref_template="#/components/schemas/{model}")
    named = {name: f"Document{name}" if name in given else name for name in found["$defs"]}
    said = json.dumps(found["$defs"])
    for name, apart in named.items():
        said = said.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{apart}"')
    taken = {named[name]: schema for name, schema in json.loads(said).items()}
    taken["DocumentPlan"]["required"].remove("site")  # the key's own, where it is not said
    return taken


def _complete(operation: dict[str, Any], path: str, method: str, route: APIRoute, schemas: dict[str, Any]) -> None:
    """What the door adds to an operation: headers, problems, examples."""
    scopes = operation["security"][0]["key"]
    operation["summary"] = re.split(r"[.;]\s|\.$", (route.endpoint.__doc__ or "").partition("\n")[0])[0]
    operation["description"] = f"{operation.get('description', '').strip()}\n\nScope: {', '.join(scopes)}."
    operation["operationId"] = route.name
    parameters = operation.setdefault("parameters", [])
    versioned = any(one.call is access.the_version for one in route.dependant.dependencies)
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        content["example"] = TAKEN[content["schema"]["$ref"].rpartition("/")[2]]
    if versioned:
        parameters.append(_header("If-Match", "The ETag of the version that was looked at."))
    if method == "post":
        parameters.append(_header("Idempotency-Key", "Any name of this request; made again, it is answered the same."))
    responses = operation["responses"]
    for status in [one for one in responses if one.startswith("2")]:
        content = responses[status]["content"]["application/json"]
        content["example"] = _example(content["schema"], schemas, "")
        responses[status].setdefault("headers", {}).update(_headers(operation, method))
    kinds = ["no-key", "no-scope", "refused", "too-many", "broken", "away"]
    kinds += ["not-found"] if "{" in path or "plan" in str(parameters) or "patient" in str(parameters) else []
    kinds += ["malformed"] if method == "post" or "requestBody" in operation or "cursor" in str(parameters) else []
    kinds += ["slow", "too-large", "not-json"] if "requestBody" in operation else []
    kinds += ["not-possible"] if "~" in str(parameters) or method != "get" else []
    kinds += ["being-done", "key-reused", "slow", "too-large"] if method == "post" else []
    kinds += ["changed-since"] if versioned else []
    responses.pop("422", None)
    for kind in sorted(set(kinds), key=list(problems.KINDS).index):
        _add_problem(responses, kind)


def _header(name: str, words: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": words, "schema": {"type": "string"}}


def _headers(operation: dict[str, Any], method: str) -> dict[str, Any]:
    said = {"RateLimit": "How many requests may follow.", "RateLimit-Policy": "How many a minute."}
    if any(one["name"] == "cursor" for one in operation["parameters"]):
        said["Link"] = "The next page, if there is one (RFC 8288)."
    if any(one["name"] == "If-Match" for one in operation["parameters"]) and method != "get":
        said["ETag"] = "The version as it stands now."
    return {name: {"description": words, "schema": {"type": "string"}} for name, words in said.items()}


def _add_problem(responses: dict[str, Any], kind: str) -> None:
    status, title, words = problems.KINDS[kind]
    at = responses.setdefault(
        str(status),
        {
            "description": HTTPStatus(status).phrase,
            "content": {problems.MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
        },
    )
    wrong = [Wrong("patient.phone", "lacks its area code")] if kind == "refused" else []
    value = problems.document(kind, None, wrong)
    at["content"][problems.MEDIA]["examples"][kind] = {"summary": f"{title}. {words}", "value": value}


def _example(schema: dict[str, Any], schemas: dict[str, Any], name: str) -> Any:
    """A value that fits a schema, with invented people."""
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    if "anyOf" in schema:
        return _EXAMPLES.get(name, _example(schema["anyOf"][0], schemas, name))
    if "enum" in schema or "const" in schema:
        offered = schema.get("enum", [schema.get("const")])
        wanted = _EXAMPLES.get(name)
        return wanted if wanted in offered else offered[0]
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        return {key: _example(one, schemas, key) for key, one in schema["properties"].items()}
    if kind == "array":
        wanted = _EXAMPLES.get(name)
        return wanted if isinstance(wanted, list) else [_example(schema["items"], schemas, name)]
    if kind == "string":
        by_format = {"date-time": "2026-12-02T22:00:00+00:00", "date": "2026-12-01"}
        usual = "7531234567890123456" if name in {"id", "patient_id"} else name.replace("_", " ")
        return by_format.get(schema.get("format", "")) or _EXAMPLES.get(name) or usual
    return {"integer": 1, "number": 1.0, "boolean": True, "object": {}}.get(str(kind))
