"""The OpenAPI description: requests that follow it, and some that break it, get the answers that it lists."""

import json
import os
from collections import Counter

import pytest

schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")

from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service.toys import recording  # noqa: E402

SHORT, LONG = 6, int(os.environ.get("MINDVOX_REQUESTS", "300"))  # of each call


@pytest.fixture(scope="module")
def described(service):
    with service.client() as client:
        return client.get("/v1/openapi.json").json()


def test_every_call_has_examples_and_problems(described):
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in described["paths"].items():
        for method, call in methods.items():
            assert call["description"], (method, path)
            if call.get("security"):
                assert {"401", "403", "422", "429", "503"} <= call["responses"].keys(), (method, path)
                assert "application/problem+json" in call["responses"]["422"]["content"]
    assert "example" in json.dumps(described["components"]["schemas"]["VerifyShape"])


@pytest.mark.parametrize("number", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_requests_by_the_description_get_its_answers(service, described, client, number, record_property):
    """MINDVOX_REQUESTS=5000 pytest -m slow --junitxml=FILE sends more requests, and writes the count of each status."""
    schema = schemathesis.openapi.from_dict(described)
    settings = hypothesis.settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    headers = {"Authorization": f"Bearer {service.tokens['all']}"}
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    statuses: Counter[int] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings
        @hypothesis.given(case=operation.as_strategy())
        def ask(case):
            answer = case.call(base_url=service.address, headers=headers)
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=checks, headers=headers)

        ask()
    record_property("statuses", dict(statuses))
    assert sum(statuses.values()) >= number
    assert "Traceback" not in service.errors and not service.left_behind()
    assert client.post("/v1/examine", files=[("recordings", ("a.wav", recording(1)))]).json()["problem"] is None
