"""Alerts as Slack messages."""

import json
from typing import Any

import pytest

from mlops_ray.alerting import SlackSink
from mlops_ray.alerting.slack import slack_body
from tests.alerting.receiver import Receiver
from tests.alerting.samples import BROKEN, DECAYED, alert, message


def texts(body: dict[str, Any]) -> str:
    return json.dumps(body["attachments"], ensure_ascii=False)


def test_a_message_names_evidence_pictures_samples_action_and_commands(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_URL", hook.url)
    SlackSink("${SLACK_URL}").send(message())
    (body,) = hook.bodies
    assert body["text"] == "[warning] churn: two features drifted"
    shown = texts(body)
    for part in ("tenure: KS 0.312, alarm from 0.1", "rows 5000", "What to do", "plan=pro", "`mlops-ray drift churn`"):
        assert part in shown
    assert "basic |############|" in shown


def details(body: dict[str, Any]) -> list[str]:
    """The sections between the headline and what to do."""
    blocks = body["attachments"][0]["blocks"]
    return [block["text"]["text"] for block in blocks[1:-2] if block["type"] == "section"]


def test_a_broken_column_is_said_in_words_and_shown_in_records() -> None:
    assert details(slack_body(message(alert(**BROKEN)))) == [
        "• plan: every value is &lt;null&gt;",
        "rows 60",
        "Sample records\n```request_id=r1, time=2023-11-14 22:13:20, answer=0.25, plan=missing, charges=3.5```",
    ]


def test_the_worst_slices_are_said_in_words() -> None:
    assert details(slack_body(message(alert(**DECAYED)))) == [
        "• plan: errors above those of other rows 0.375\n"
        "• worse where plan = pro and tenure &lt; 3: 50.0% wrong of 80 rows, 37.5% more than elsewhere",
        "rows 900",
        "Sample records\n```request_id=r1, answer=0.9, label=0, plan=pro```",
    ]


def test_text_cannot_make_links_or_mentions() -> None:
    body = slack_body(message(alert(message="<!channel> a & b", features=("<x>",), evidence={"note": "<@U1>"})))
    assert body["text"] == "[warning] churn: &lt;!channel&gt; a &amp; b"
    assert "<" not in texts(body).replace("&lt;", "")


def test_a_section_is_never_longer_than_slack_takes() -> None:
    samples = [{f"c{i}": "x" * 200 for i in range(50)} for _ in range(20)]
    body = slack_body(message(alert(message="m" * 9000, evidence={"samples": samples})))
    sections = [b["text"]["text"] for a in body["attachments"] for b in a["blocks"] if b["type"] == "section"]
    assert max(map(len, sections)) <= 3000
    assert all(text.count("```") in (0, 2) for text in sections)


def test_a_flood_is_cut_and_says_so() -> None:
    body = slack_body(message(*(alert(id=str(n)) for n in range(20))))
    assert sum(len(a["blocks"]) for a in body["attachments"]) <= 50
    assert len(body["attachments"]) == 8
    assert "12 more: `mlops-ray alerts list churn`" in body["text"]


def test_what_is_over_is_green_and_short() -> None:
    raised, over = (slack_body(message(alert(event=event)))["attachments"][0] for event in ("raised", "resolved"))
    assert raised["color"] != over["color"]
    assert len(over["blocks"]) < len(raised["blocks"])
