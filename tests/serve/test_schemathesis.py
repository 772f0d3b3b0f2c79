"""Thousands of requests made of a model's OpenAPI document: no answer is a 5xx, and each is as the document says."""

from typing import Any

import pytest

from mlops_ray.serve import FrontDoor, Versions
from mlops_ray.serve.access import Access
from mlops_ray.serve.outbox import Outbox
from mlops_ray.store import issue_key
from tests.generated_requests import Generated, send_generated, streams
from tests.serve.asgi_client import get
from tests.serve.house import BASE, Mailbox
from tests.serve.samples import Register, lightgbm_model, route, run
from tests.serve.test_arrow_rows import stream
from tests.serve.test_bulk import columns

KEY, RECORD = issue_key("schemathesis", ["infer", "label"], now_s=0.0)


@pytest.fixture
def versions_open(versions: Versions, register: Register) -> Any:
    """Opens a front door on one version, guarded by keys or not."""
    register(lightgbm_model(5))

    def build(access: Access | None = None) -> FrontDoor:
        outbox = Outbox(Mailbox(), replica="r", flush_s=60)
        serve = versions.spec().serve
        return FrontDoor(versions, serve, connect=_nobody, outbox=outbox, route=route(1, 1), access=access)

    return build


def _nobody(version: int) -> Any:
    raise AssertionError(f"there is no version {version} under delivery")


def generated(app: FrontDoor, *, examples: int, key: str | None = None, thorough: bool = True) -> Generated:
    streams(stream(columns(1)), stream(columns(9), batches=2))
    document = run(get(app, f"{BASE}/openapi.json", headers={"x-api-key": key or ""})).json()
    return send_generated(document, examples=examples, app=app, key=key, thorough=thorough)


def test_two_thousand_requests_of_all_kinds_are_answered_as_the_document_says(versions_open: Any) -> None:
    sent = generated(versions_open(), examples=70)
    assert sent.failures == (), "\n\n".join(sent.failures)
    assert [status for status in sent.statuses if status >= 500] == []
    assert sent.cases >= 2000
    assert sent.statuses[200] >= 500
    assert {400, 404, 405, 415, 422} <= set(sent.statuses)


def test_where_keys_are_asked_for_none_gets_by_without_one(versions_open: Any) -> None:
    app = versions_open(Access(lambda: [RECORD], required=True))
    sent = generated(app, examples=10, key=KEY, thorough=False)
    assert sent.failures == (), "\n\n".join(sent.failures)
    assert [status for status in sent.statuses if status >= 500] == []
    assert {200, 401} <= set(sent.statuses)
