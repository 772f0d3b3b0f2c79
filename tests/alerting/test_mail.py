"""Alerts as e-mails, to a real SMTP server."""

import io
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from PIL import Image

from mlops_ray.alerting import EmailSink, text_of
from mlops_ray.alerting.mail import email_of
from mlops_ray.errors import AlertError
from tests.alerting.receiver import Mailbox, smtp_server
from tests.alerting.samples import BROKEN, DECAYED, EVIDENCE, alert, message

TO = ("ops@example.com", "ml@example.com")


def sink(port: int, **changes: Any) -> EmailSink:
    values: dict[str, Any] = {"to": TO, "sender": "loop@example.com", "host": "127.0.0.1", "security": "none"}
    return EmailSink("ops@example.com", **values | {"port": port} | changes)


def test_an_email_reaches_its_address_with_the_id_of_the_message(mailbox: Mailbox) -> None:
    sink(mailbox.port).send(message())
    (email,), (recipients,) = mailbox.emails, mailbox.recipients
    assert recipients == ["ops@example.com"]
    assert (email["To"], email["From"]) == ("ops@example.com, ml@example.com", "loop@example.com")
    assert email["Message-ID"] == "<churn-0123abcd@example.com>"
    assert email["Subject"] == "[warning] churn: two features drifted"


def test_it_holds_text_html_and_a_picture_of_every_top_feature(mailbox: Mailbox) -> None:
    sink(mailbox.port).send(message())
    (email,) = mailbox.emails
    assert email.get_content_type() == "multipart/alternative"
    text, related = email.iter_parts()
    html, *pictures = related.iter_parts()
    assert related.get_content_type() == "multipart/related"
    for part in (text, html):
        for said in ("two features drifted", "plan", "0.08", "30.1235", "What to do"):
            assert said in part.get_content()
    ids = [picture["Content-ID"].strip("<>") for picture in pictures]
    assert all(f'src="cid:{id}"' in html.get_content() for id in ids)
    assert len(ids) == len(set(ids)) == 2
    sizes = [Image.open(io.BytesIO(picture.get_content())).size for picture in pictures]
    assert all(400 < width < 800 for width, _ in sizes)


def test_broken_columns_and_worst_slices_are_said_in_words() -> None:
    email = email_of(message(alert(**BROKEN), alert(**DECAYED)), sender="a@b", to=["c@d"])
    text, html = (email.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert "\nplan: every value is <null>\n" in text.get_content()
    assert "  request_id=r1, time=2023-11-14 22:13:20, answer=0.25, plan=missing, charges=3.5" in text.get_content()
    assert "\nworse where plan = pro and tenure < 3: 50.0% wrong of 80 rows" in text.get_content()
    assert "<p>plan: every value is &lt;null&gt;</p>" in html.get_content()
    assert "<p>worse where plan = pro and tenure &lt; 3: 50.0% wrong of 80 rows" in html.get_content()


def test_histograms_that_make_no_sense_are_left_out_and_the_alert_is_told() -> None:
    broken = [
        {"feature": "a", "edges": [0, 1], "reference": [0.5, 0.5], "window": [0.5]},
        {"feature": "b", "edges": [1, 0, 2], "reference": [0.5, 0.5], "window": [0.5, 0.5]},
        {"feature": "c", "categories": ["x"], "reference": ["y"], "window": [1.0]},
        "d",
    ]
    email = email_of(message(alert(evidence={"histograms": broken})), sender="a@b", to=["c@d"])
    assert not [part for part in email.walk() if part.get_content_maintype() == "image"]
    assert "two features drifted" in str(email)


def test_what_people_wrote_is_no_html() -> None:
    evidence = {"samples": [{"<b>": "<script>"}], "note": "<img>"}
    email = email_of(message(alert(message="<i>&", features=("<u>",), evidence=evidence)), sender="a@b", to=["c@d"])
    body = email.get_body(("html",))
    assert body is not None
    for tag in ("<b>:", "<script>", "<img>", "<i>", "<u>"):
        assert tag not in body.get_content()


def test_a_message_over_two_lines_makes_one_subject() -> None:
    email = email_of(message(alert(message="first\nBcc: everybody@example.com")), sender="a@b", to=["c@d"])
    assert email["Bcc"] is None
    assert "\n" not in str(email["Subject"])


def test_several_alerts_are_told_in_one_email_and_those_that_are_over_without_pictures(mailbox: Mailbox) -> None:
    sink(mailbox.port).send(message(alert(), alert(id="b", kind="decay", event="resolved", reason="it is well again")))
    (email,) = mailbox.emails
    assert email["Subject"] == "[warning] churn: 2 alerts (drift, decay)"
    assert len([part for part in email.walk() if part.get_content_maintype() == "image"]) == 2
    assert "it is well again" in text_of(message(alert(event="resolved", reason="it is well again")))


@pytest.mark.parametrize(("answer", "final"), [("550 no such user", True), ("452 later", False)])
def test_a_refusal_says_whether_to_try_again(mailbox: Mailbox, answer: str, final: bool) -> None:
    mailbox.refusals = [answer]
    with pytest.raises(AlertError, match=f"found {answer}") as caught:
        sink(mailbox.port).send(message())
    assert caught.value.final == final
    assert mailbox.emails == []


def test_nobody_there_is_an_error_that_can_pass() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(AlertError, match="ConnectionRefusedError") as caught:
            sink(unused.getsockname()[1]).send(message())
    assert not caught.value.final


class TestWithTls:
    """A server with a certificate of its own, and a password."""

    @pytest.fixture
    def context(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
        """A self-signed certificate that this process trusts."""
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
        subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    @staticmethod
    def authenticator(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        """Let one user in."""
        good = isinstance(given, LoginPassword) and (given.login, given.password) == (b"loop", b"SECRET")
        return AuthResult(success=good, handled=good)

    def test_it_logs_in_under_tls_with_the_password_of_the_environment(
        self, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options: dict[str, Any] = {
            "tls_context": context,
            "require_starttls": True,
            "authenticator": self.authenticator,
        }
        with smtp_server(auth_required=True, **options) as box:
            mailer = sink(box.port, security="starttls", username="loop", password="${SMTP_PASSWORD}")
            monkeypatch.setenv("SMTP_PASSWORD", "wrong-SECRET-2")
            with pytest.raises(AlertError, match="expected to be let in, found 535") as caught:
                mailer.send(message())
            assert not caught.value.final
            assert "SECRET" not in str(caught.value) + mailer.name
            monkeypatch.setenv("SMTP_PASSWORD", "SECRET")
            mailer.send(message())
            assert len(box.emails) == 1

    def test_a_certificate_nobody_vouches_for_gets_nothing(
        self, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        with smtp_server(tls_context=context, require_starttls=True) as box:
            with pytest.raises(AlertError, match="SSLCertVerificationError"):
                sink(box.port, security="starttls").send(message())
            assert box.emails == []


def test_the_samples_of_the_tests_have_the_form_that_judges_write() -> None:
    assert set(EVIDENCE) == {"rows", "features", "histograms", "samples"}
