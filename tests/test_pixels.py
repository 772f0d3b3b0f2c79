import io

import numpy as np
import pytest
from PIL import Image

from mlops_ray.pixels import LARGEST_PIXELS, decode_image, decode_images, encode_png, picture_statistics


def saved(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format=kind, **options)
    return sink.getvalue()


def noise(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(5, 7, 3), (4, 4, 1), (1, 1, 3)])
def test_png_loses_nothing(shape: tuple[int, int, int]) -> None:
    pixels = noise(*shape)
    np.testing.assert_array_equal(decode_image(encode_png(pixels), shape), pixels)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_each_format_is_read(kind: str, options: dict[str, object]) -> None:
    smooth = np.broadcast_to(np.arange(0, 240, 10, dtype=np.uint8)[:, None, None], (24, 24, 3)).copy()
    found = decode_image(saved(smooth, kind, **options), (24, 24, 3))
    assert np.abs(found.astype(int) - smooth).max() <= 6


def test_another_size_and_another_mode_are_brought_to_the_wanted_ones() -> None:
    grey = saved(np.full((40, 20), 100, np.uint8), "PNG")
    assert decode_image(grey, (8, 4, 3)).shape == (8, 4, 3)
    assert (decode_image(grey, (8, 4, 3)) == 100).all()
    transparent = saved(np.full((6, 6, 4), (10, 20, 30, 0), np.uint8), "PNG")
    assert decode_image(transparent, (6, 6, 3))[0, 0].tolist() == [10, 20, 30]
    assert (decode_image(saved(np.full((90, 90, 3), 77, np.uint8), "JPEG"), (10, 10, 1)) == 77).all()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no picture in JPEG, PNG, WEBP"),
        (b"hello", "is no picture"),
        (saved(noise(8, 8, 3), "GIF"), "is no picture"),
        (saved(noise(64, 64, 3), "PNG")[:3000], "damaged picture"),
        (saved(noise(64, 64, 3), "JPEG")[:900], "damaged picture"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        decode_image(content, (8, 8, 3))


def test_a_small_file_that_claims_to_be_huge_is_refused_before_it_is_decoded() -> None:
    bomb = saved(np.zeros((2**13 + 8, 2**13), np.uint8), "PNG")
    assert len(bomb) < 2**17 < LARGEST_PIXELS
    with pytest.raises(ValueError, match="more than 67,108,864"):
        decode_image(bomb, (8, 8, 3))


def test_of_several_the_broken_one_is_named() -> None:
    whole = encode_png(noise(2, 2, 3))
    assert decode_images([whole, whole], (2, 2, 3)).shape == (2, 2, 2, 3)
    assert decode_images([], (2, 2, 3)).shape == (0, 2, 2, 3)
    with pytest.raises(ValueError, match="picture 1 is no picture"):
        decode_images([whole, b"x"], (2, 2, 3))


def test_statistics_are_brightness_contrast_and_colours() -> None:
    half = np.zeros((1, 2, 1, 3))
    half[0, 1] = 200
    found = picture_statistics(half.reshape(1, -1), (2, 1, 3))
    np.testing.assert_allclose(found, [[100, 100, 100, 100, 100]])
    grey = picture_statistics(np.full((300, 4), 50.0), (2, 2, 1))
    assert grey.shape == (300, 5)
    np.testing.assert_allclose(grey[299], [50, 0, 50, 50, 50], atol=1e-9)
