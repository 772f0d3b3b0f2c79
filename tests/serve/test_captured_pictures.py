"""What of a picture is in the records, by the capture section of the spec."""

import pytest

from mlops_ray.serve.captured import Captured
from mlops_ray.serve.seen_pictures import SeenPictures
from mlops_ray.spec import Capture, CapturePolicy
from tests.serve.pictures import PICTURES, pixels

MATRIX = pixels(0).reshape(1, -1).astype(float)
SEEN = SeenPictures.of(PICTURES, MATRIX)


def kept(policy: CapturePolicy) -> dict[str, object]:
    captured = Captured(Capture(fields={"photo": policy}), "shop")
    assert captured.not_kept(PICTURES) == (frozenset() if policy == "keep" else {"photo"})
    row: dict[str, object] = captured.pictures(PICTURES, SEEN.statistics, SEEN.digests).to_pylist()[0]
    return row


def test_what_is_kept_is_what_the_drift_check_sees_and_the_digest() -> None:
    row = kept("keep")
    assert list(row) == [*(column.name for column in PICTURES.columns()), "photo.digest"]
    assert (row["photo.red"], row["photo.blue"], row["photo.digest"]) == (200.0, 0.0, SEEN.digests[0])


@pytest.mark.parametrize("policy", ["hash", "drop"])
def test_of_what_is_not_kept_there_is_no_statistic(policy: CapturePolicy) -> None:
    row = kept(policy)
    assert row["photo.brightness"] is None
    assert (row["photo.digest"] is None) == (policy == "drop")
    assert row["photo.digest"] != SEEN.digests[0]


def test_a_digest_is_of_the_pixels_and_nothing_else() -> None:
    other = SeenPictures.of(PICTURES, pixels(1).reshape(1, -1).astype(float))
    assert SEEN.digests == SeenPictures.of(PICTURES, MATRIX.copy()).digests != other.digests
