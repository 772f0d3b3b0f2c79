import pytest
import torch

from mlops_ray.train.vision_augment import augmented


def numbered(count: int, height: int, width: int) -> torch.Tensor:
    """Pictures in which each pixel has a value of its own."""
    pixels = torch.arange(height * width, dtype=torch.uint8).reshape(1, height, width, 1)
    return pixels.expand(count, height, width, 3).contiguous()


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    pixels = numbered(3, 4, 5)
    assert augmented(pixels, "none", 1) is pixels


@pytest.mark.parametrize("kind", ["crop_flip", "trivial"])
def test_a_seed_decides_what_becomes_of_the_pictures(kind: str) -> None:
    pixels = numbered(16, 12, 12)
    first = augmented(pixels, kind, 1)
    assert (first.shape, first.dtype) == (pixels.shape, torch.uint8)
    assert torch.equal(first, augmented(pixels, kind, 1))
    assert not torch.equal(first, augmented(pixels, kind, 2))
    assert len({bytes(picture.numpy()) for picture in first}) > 8, "each picture is changed in its own way"


def test_a_picture_is_moved_by_an_eighth_at_most_and_mirrored_or_not() -> None:
    height, width = 8, 16
    pixels = numbered(200, height, width)
    seen = set()
    for picture in augmented(pixels, "crop_flip", 5)[..., 0].long():
        inner = picture[2:-2, 3:-3]
        rows, columns = inner // width, inner % width
        down, step = int(rows[0, 0]) - 2, int(columns[0, 1] - columns[0, 0])
        place = 3 if step == 1 else width - 4
        right = int(columns[0, 0]) - place
        assert step in (1, -1)
        assert (abs(down) <= 1, abs(right) <= 2) == (True, True)
        seen.add((down, right, step))
    assert len(seen) == 3 * 5 * 2


def test_torchs_own_generator_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    augmented(numbered(2, 8, 8), "trivial", 1)
    assert torch.equal(torch.rand(4), expected)


def test_a_picture_of_one_pixel_stays_as_it_is() -> None:
    pixels = torch.full((2, 1, 1, 3), 7, dtype=torch.uint8)
    assert torch.equal(augmented(pixels, "crop_flip", 1), pixels)
