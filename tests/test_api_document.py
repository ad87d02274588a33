"""The OpenAPI document is complete, its examples fit it, and the API never deviates from it on any request."""

import os
import re
import shutil
from contextlib import suppress

import pytest
import schemathesis
from api_caller import Program, make_key
from conftest import open_context
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from people import KNOWN, one_off
from schemathesis.specs.openapi import checks
from two_sites import accept, hear

from reminders.plans import read
from reminders.web.api import manual

EXAMPLES = int(os.environ.get("FUZZ", "1"))  # of each operation and sort of data; `make fuzz` sets many
SETTINGS = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture
def api(sqlite_template, tmp_path, travel):
    """A program that may do everything at a site with a plan, a session, a reply and its task, at NOW."""
    shutil.copy(sqlite_template, tmp_path / "here.db")
    context = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path, web__api_per_minute="100000")
    accept(context, series=[one_off("g", "2026-12-03T15:00:00", kind="therapy_group", session="oak")])
    hear(context, "can someone call me")
    yield Program(context, make_key(context))
    context.close()


def document(api):
    return api.caller.get("/api/openapi.json").json()


@pytest.mark.timeout(60 * (EXAMPLES + 1))
@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
def test_the_api_never_drifts_from_its_document(api, mode):
    api_schema = schemathesis.openapi.from_asgi("/api/openapi.json", api.caller.app)
    first = lambda path, key="id": str(api.get(path).json()["items"][0][key])  # ruff: ignore[lambda-assignment]  one line
    real = {
        "plan": first("/plans"),
        "patient": first("/patients"),
        "appointment": first("/appointments"),
        "session": first("/sessions"),
        "on": "2026-12-03",
        "text": first("/texts", "text"),
        "task": first("/tasks"),
        "site": "main",
    }

    def walk(operation):
        @seed(1)
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def ask(data):
            case = data.draw(operation.as_strategy(generation_mode=mode))
            if case.path_parameters and data.draw(st.integers(0, 3)):
                case.path_parameters = {name: real[name] for name in case.path_parameters}
            if mode is schemathesis.GenerationMode.NEGATIVE or data.draw(st.integers(0, 3)):
                case.headers.pop("If-Match", None)  # else nothing behind it is reached
            # An invalid part may not reach the wire: the key is added here, and an empty list sends nothing.
            wrong = {place.name for place, one in case.meta.components.items() if one.mode.is_negative} - {"HEADER"}
            if any(value in ([], {}, None) for value in (case.query or {}).values()):
                wrong -= {"QUERY"}
            asked = CHECKS if wrong else [check for check in CHECKS if check is not checks.negative_data_rejection]
            case.call_and_validate(headers={"Authorization": f"Bearer {api.key}"}, checks=asked)

        with suppress(Unsatisfiable):  # a request without parameters cannot be invalid
            ask()

    for result in api_schema.get_all_operations():
        walk(result.ok())


def test_the_document_is_openapi_3_1_and_public(api):
    said = document(api)
    validate(said)
    assert said["openapi"].startswith("3.1")
    assert said["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    contract = ("plans", "patients", "appointments", "preview", "texts", "tasks", "replies", "log", "sites", "stats")
    for name in contract:
        assert f"/api/v1/{name}" in said["paths"]
    names = [one["operationId"] for methods in said["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))
    tags = {one["name"] for one in said["tags"]}
    for path, methods in said["paths"].items():
        for method, one in methods.items():
            assert set(one["tags"]) <= tags
            assert one["summary"]
            assert {"401", "403", "422", "429", "500", "503"} <= one["responses"].keys(), (method, path)


def test_every_example_fits_its_schema(api):
    said = document(api)

    def fits(schema, value):
        whole = {"components": said["components"], **schema}
        Draft202012Validator(whole).validate(value)

    count = 0
    for methods in said["paths"].values():
        for one in methods.values():
            bodies = [one["requestBody"]] if "requestBody" in one else []
            for place in (*bodies, *one["responses"].values()):
                for content in place["content"].values():
                    examples = [one["value"] for one in content.get("examples", {}).values()]
                    examples += [content["example"]] if "example" in content else []
                    assert examples
                    for value in examples:
                        fits(content["schema"], value)
                        count += 1
    assert count > 400


def test_the_example_of_a_plan_document_is_a_plan():
    assert read(manual.TAKEN["PlanDocument"], KNOWN).plan.ref == "DC-2026-1187"


def test_the_documentation_can_be_read_without_javascript(api):
    answer = api.caller.page("/api/docs")
    said = document(api)
    assert answer.status_code == 200
    for path, methods in said["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in answer.text
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert "unsafe" not in answer.headers["content-security-policy"]
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    assert not any(map(str.strip, scripts))
    for address in re.findall(r'(?:src|href)="(/[^"#]*)"', answer.text):
        if address not in {"/", "/help"}:
            assert api.caller.get(address).status_code == 200, address
    assert "cdn" not in answer.text
