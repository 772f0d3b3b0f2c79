"""Alerts as e-mails: text and HTML, with the pictures of the top features inside."""

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

from mlops_ray.alerting.alert import Message
from mlops_ray.alerting.mail_content import html_of, pictures_of, text_of
from mlops_ray.alerting.post import resolved
from mlops_ray.alerting.words import subject
from mlops_ray.errors import AlertError

__all__ = ["EmailSink", "email_of"]


class EmailSink:
    """Sends messages to one address through a server. A repeated message has the same `Message-ID`.

    `to` are shown as the recipients; each of them has a sink of its own, so that one that is refused holds up no
    other. `password` is as in the spec.
    """

    takes_groups = True
    repeat_s: float | None = None

    def __init__(
        self,
        address: str,
        *,
        to: Sequence[str],
        sender: str,
        host: str,
        port: int,
        security: Literal["starttls", "tls", "none"] = "starttls",
        username: str | None = None,
        password: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._address, self._to, self._sender = address, tuple(to), sender
        self._host, self._port, self._security = host, port, security
        self._username, self._password, self._timeout_s = username, password, timeout_s
        self.name = f"email {address}"

    def send(self, message: Message) -> None:
        """Hand one message to the server.

        Raises:
            AlertError: the server is away, refuses, or is not trusted; `final` where it says that it will always.
        """
        try:
            server = self._connect()
            try:
                self._log_in(server)
                # Pictures are drawn for a server that is there.
                email = email_of(message, sender=self._sender, to=self._to)
                server.send_message(email, self._sender, [self._address])
            finally:
                # Accepted is accepted, however the good-bye goes.
                with suppress(OSError, smtplib.SMTPException):
                    server.quit()
        except (OSError, smtplib.SMTPException) as error:
            raise self._failure(error) from None

    def _connect(self) -> smtplib.SMTP:
        if self._security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=context)
        return smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)

    def _log_in(self, server: smtplib.SMTP) -> None:
        if self._security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if self._username is not None and self._password is not None:
            server.login(self._username, resolved(self._password, self.name))

    def _failure(self, error: OSError | smtplib.SMTPException) -> AlertError:
        code, said = _answer_of(error)
        what = f"{code} {said}" if code else type(error).__name__
        where = f"{self.name} by {self._host}:{self._port}"
        # A refused login is repaired by people within hours; what is said about it may hold what was sent.
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return AlertError(f"{where}: expected to be let in, found {code}")
        return AlertError(f"{where}: expected it to be taken, found {what}", 500 <= code < 600)


def _answer_of(error: OSError | smtplib.SMTPException) -> tuple[int, str]:
    """Code and text of the server; 0 where it did not say anything."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
        return code, _text(said)
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code, _text(error.smtp_error)
    return 0, ""


def _text(said: bytes | str) -> str:
    return (said.decode("utf-8", "replace") if isinstance(said, bytes) else said)[:200]


def email_of(message: Message, *, sender: str, to: Sequence[str]) -> EmailMessage:
    """The whole e-mail; pictures that cannot be drawn are left out."""
    email = EmailMessage()
    email["Subject"] = " ".join(subject(message).split())
    email["From"] = sender
    email["To"] = ", ".join(to)
    email["Date"] = formatdate(message.at_s)
    email["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    email["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office answers stay away
    pictures = pictures_of(message)
    email.set_content(text_of(message))
    email.add_alternative(html_of(message, pictures), subtype="html")
    html = email.get_payload()[1]  # type: ignore[index]
    for picture in pictures:
        disposition = {"disposition": "inline", "filename": f"{picture.id}.png"}
        html.add_related(picture.png, "image", "png", cid=f"<{picture.id}>", **disposition)  # type: ignore[union-attr]
    return email
