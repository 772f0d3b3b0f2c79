"""A receiver of webhooks."""

from collections.abc import Iterator

import pytest

from tests.alerting.receiver import Receiver, receiver


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A running HTTP server that keeps what is POSTed to it."""
    with receiver() as state:
        yield state
