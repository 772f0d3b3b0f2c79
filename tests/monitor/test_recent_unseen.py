import pytest

from mlops_ray.drift import UnseenValues
from mlops_ray.errors import ValidationError
from mlops_ray.monitor.recent_unseen import RecentUnseen


def sketches(value: str, count: int) -> bytes:
    values = UnseenValues()
    values.note("plan", {value: count})
    return values.to_bytes()


def test_the_window_holds_what_came_within_its_time() -> None:
    recent = RecentUnseen(size_s=100)
    recent.add(1000, sketches("a", 1))
    recent.add(1050, sketches("b", 2))
    recent.add(1050, b"")
    recent.add(1055, sketches("b", 3))
    assert recent.window(1090).frequent("plan") == [("b", 5), ("a", 1)]
    assert recent.window(1120).frequent("plan") == [("b", 5)]
    assert recent.window(1120).frequent("plan") == [("b", 5)], "looking changes nothing"
    assert not recent.window(2000)


def test_memory_is_bounded() -> None:
    recent = RecentUnseen(size_s=100)
    for second in range(0, 5000, 10):
        recent.add(second, sketches(f"v{second}", 1))
    assert len(recent._parts) == 11


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ValidationError):
        RecentUnseen(size_s=100).add(0, b"something else")
