"""The small world of tests/control/world.py, one for each test."""

from pathlib import Path

import pytest

from tests.control.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Model "toy" with three versions that passed their gates, none delivered."""
    return World(tmp_path)
