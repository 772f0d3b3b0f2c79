"""Receivers of alerts."""

from collections.abc import Iterator

import pytest

from tests.alerting.receiver import Mailbox, Receiver, receiver, smtp_server


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A running HTTP server that keeps what is POSTed to it."""
    with receiver() as state:
        yield state


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A running SMTP server that keeps what is sent to it."""
    with smtp_server() as box:
        yield box
