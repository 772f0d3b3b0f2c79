"""Alerts as HTTP POSTs."""

import json
import socket
import traceback

import pytest

from mlops_ray.alerting import WebhookSink
from mlops_ray.alerting.webhook import webhook_body
from mlops_ray.errors import AlertError
from tests.alerting.receiver import Receiver
from tests.alerting.samples import alert


def test_an_alert_is_posted_with_every_field(hook: Receiver) -> None:
    WebhookSink(hook.url).send(alert())
    (body,) = hook.bodies
    assert body["text"] == "[warning] churn: two features drifted"
    assert body["alert"] == {
        "id": "alert-1",
        "model": "churn",
        "kind": "drift",
        "severity": "warning",
        "message": "two features drifted",
        "features": ["tenure", "plan"],
        "evidence": {"tenure": {"ks": 0.3}},
        "at_s": 1_700_000_000.5,
    }


def test_slack_gets_an_attachment_with_colour_fields_and_time() -> None:
    (attachment,) = webhook_body(alert())["attachments"]
    assert attachment["color"].startswith("#")
    assert {f["title"]: f["value"] for f in attachment["fields"]} == {
        "model": "churn",
        "kind": "drift",
        "features": "tenure, plan",
    }
    assert attachment["ts"] == 1_700_000_000


def test_an_alert_about_no_feature_has_no_such_field() -> None:
    (attachment,) = webhook_body(alert(features=()))["attachments"]
    assert [f["title"] for f in attachment["fields"]] == ["model", "kind"]


def test_text_cannot_make_links_or_mentions_in_slack() -> None:
    body = webhook_body(alert(message="<!channel> a & b", features=("<x>",)))
    assert body["text"] == "[warning] churn: &lt;!channel&gt; a &amp; b"
    assert body["attachments"][0]["fields"][2]["value"] == "&lt;x&gt;"
    assert body["alert"]["message"] == "<!channel> a & b"
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_another_answer_than_2xx_is_an_error_with_the_status(hook: Receiver, status: int) -> None:
    hook.statuses = [status]
    with pytest.raises(AlertError, match=f"expected status 2xx, found {status}"):
        WebhookSink(hook.url).send(alert())
    assert hook.methods == ["POST"]


def test_an_answer_that_takes_too_long_is_an_error(hook: Receiver) -> None:
    hook.delay_s = 0.5
    with pytest.raises(AlertError, match="expected an answer, found ReadTimeout"):
        WebhookSink(hook.url, timeout_s=0.1).send(alert())


def test_nobody_there_is_an_error_that_keeps_the_path_of_the_url_secret() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else gets the port
        port = unused.getsockname()[1]
        sink = WebhookSink(f"http://user:PASSWORD@127.0.0.1:{port}/services/T000/SECRET")
        with pytest.raises(AlertError) as caught:
            sink.send(alert())
    assert str(caught.value) == f"webhook http://127.0.0.1:{port}: expected an answer, found ConnectionError"
    shown = "".join(traceback.format_exception(caught.value)) + sink.name
    assert "SECRET" not in shown
    assert "PASSWORD" not in shown


def test_evidence_that_is_no_json_is_an_error_at_once(hook: Receiver) -> None:
    with pytest.raises(AlertError, match="InvalidJSONError"):
        WebhookSink(hook.url).send(alert(evidence={"ks": float("nan")}))
    assert hook.methods == []
