"""Alerts as HTTP POSTs."""

import json
import socket
import traceback

import pytest

from mlops_ray.alerting import WebhookSink
from mlops_ray.alerting.webhook import webhook_body
from mlops_ray.errors import AlertError
from tests.alerting.receiver import Receiver
from tests.alerting.samples import BROKEN, EVIDENCE, alert, message


def test_a_message_is_posted_with_every_field_and_its_id_as_idempotency_key(hook: Receiver) -> None:
    WebhookSink(hook.url).send(message())
    (body,) = hook.bodies
    assert body["text"] == "[warning] churn: two features drifted"
    assert (body["id"], body["model"], hook.taken) == ("churn-0123abcd", "churn", ["churn-0123abcd"])
    (told,) = body["alerts"]
    assert (told["id"], told["event"], told["version"]) == ("churn-drift-v3-1", "raised", 3)
    assert told["evidence"] == EVIDENCE
    assert told["top_features"][0] == {"name": "tenure", "measure": "KS", "value": 0.3125, "threshold": 0.1}
    assert "retraining" in told["suggested_action"]
    assert "mlops-ray alerts show churn-drift-v3-1" in told["commands"]


def test_findings_are_told_in_words() -> None:
    (told,) = webhook_body(message(alert(**BROKEN)))["alerts"]
    assert told["findings"] == ["plan: every value is <null>"]


def test_several_alerts_go_out_as_one_message(hook: Receiver) -> None:
    WebhookSink(hook.url).send(message(alert(), alert(id="b", kind="decay", severity="critical")))
    (body,) = hook.bodies
    assert body["text"] == "[critical] churn: 2 alerts (drift, decay)"
    assert [told["id"] for told in body["alerts"]] == ["churn-drift-v3-1", "b"]


def test_what_is_over_says_so_and_why(hook: Receiver) -> None:
    body = webhook_body(message(alert(event="resolved", reason="no window shows it any more")))
    assert body["text"] == "[resolved] churn: drift is over: two features drifted"
    assert body["alerts"][0]["suggested_action"] == "Nothing: no window shows it any more."
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_another_answer_than_2xx_is_an_error_with_the_status(hook: Receiver, status: int) -> None:
    hook.statuses = [status]
    with pytest.raises(AlertError, match=f"expected status 2xx, found {status}: 'ok'") as caught:
        WebhookSink(hook.url).send(message())
    assert hook.methods == ["POST"]
    assert caught.value.final == (status == 400), "only what is wrong with the content cannot get better"


def test_a_receiver_that_asks_for_time_gets_it(hook: Receiver) -> None:
    hook.statuses, hook.headers = [429], {"Retry-After": "17"}
    with pytest.raises(AlertError) as caught:
        WebhookSink(hook.url).send(message())
    assert caught.value.retry_after_s == 17.0


def test_an_answer_that_takes_too_long_is_an_error(hook: Receiver) -> None:
    hook.delay_s = 0.5
    with pytest.raises(AlertError, match="expected an answer, found ReadTimeout"):
        WebhookSink(hook.url, timeout_s=0.1).send(message())


def test_nobody_there_is_an_error_that_keeps_the_path_of_the_url_secret() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else gets the port
        port = unused.getsockname()[1]
        sink = WebhookSink(f"http://user:PASSWORD@127.0.0.1:{port}/services/T000/SECRET")
        with pytest.raises(AlertError) as caught:
            sink.send(message())
    assert str(caught.value) == f"webhook http://127.0.0.1:{port}: expected an answer, found ConnectionError"
    shown = "".join(traceback.format_exception(caught.value)) + sink.name
    assert "SECRET" not in shown
    assert "PASSWORD" not in shown


def test_a_url_of_the_environment_is_looked_up_when_it_is_needed(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = WebhookSink("${HOOK_URL}")
    assert sink.name == "webhook HOOK_URL"
    with pytest.raises(AlertError, match="expected the environment variable HOOK_URL to be set, found it is not"):
        sink.send(message())
    monkeypatch.setenv("HOOK_URL", hook.url)
    sink.send(message())
    assert len(hook.bodies) == 1


def test_evidence_that_is_no_json_is_an_error_at_once(hook: Receiver) -> None:
    with pytest.raises(AlertError, match="InvalidJSONError"):
        WebhookSink(hook.url).send(message(alert(evidence={"ks": float("nan")})))
    assert hook.methods == []
