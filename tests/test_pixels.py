"""Pictures in memory: what is read, what is refused, and what is counted of them."""

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mlops_ray import pixels
from mlops_ray.pixels import decode_image, decode_images, encode_png, picture_statistics


def encoded(
    size: tuple[int, int], kind: str, mode: str = "RGB", colour: tuple[int, ...] | int = (200, 40, 90)
) -> bytes:
    """A picture of one colour, (width, height)."""
    sink = io.BytesIO()
    Image.new(mode, size, colour).save(sink, format=kind)
    return sink.getvalue()


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 2**31))
def test_a_png_gives_its_pixels_back(height: int, width: int, channels: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    assert (decode_image(encode_png(values), (height, width, channels)) == values).all()


@pytest.mark.parametrize("kind", pixels.FORMATS)
def test_each_format_is_read_and_resized(kind: str) -> None:
    found = decode_image(encoded((640, 480), kind), (12, 8, 3))
    assert found.shape == (12, 8, 3)
    assert np.abs(found.astype(int) - (200, 40, 90)).max() <= 3


def test_a_palette_and_transparency_become_colours_and_grey() -> None:
    assert decode_image(encoded((2, 2), "PNG", "RGBA", (255, 0, 0, 0)), (1, 1, 3)).tolist() == [[[255, 0, 0]]]
    assert decode_image(encoded((2, 2), "PNG", "P", 0), (1, 1, 1)).shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no picture"),
        (b"no picture at all", "no picture"),
        (encoded((2, 2), "BMP"), "no picture in JPEG, PNG, WEBP"),
        (encoded((64, 64), "JPEG")[:400], "damaged"),
        (encode_png(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))[:60], "damaged"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        decode_image(content, (4, 4, 3))


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_small_file_that_claims_to_be_huge_is_not_unpacked(side: int) -> None:
    huge = encoded((side, side), "PNG", "1", 0)
    assert len(huge) < 10**5
    with pytest.raises(ValueError, match=r"more .*than the 67,108,864 that are read"):
        decode_image(huge, (4, 4, 3))


@given(st.integers(0, 2**31), st.sampled_from(pixels.FORMATS))
def test_a_file_with_altered_bytes_is_read_or_refused_and_nothing_else(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    content = bytearray(encoded((24, 16), kind))
    for place in random.integers(0, len(content), random.integers(1, 9)):
        content[place] = random.integers(0, 256)
    with suppress(ValueError):  # and nothing else
        assert decode_image(bytes(content), (8, 8, 3)).shape == (8, 8, 3)


def test_which_of_several_is_wrong_is_told() -> None:
    with pytest.raises(ValueError, match="picture 1 is no picture"):
        decode_images([encode_png(np.zeros((1, 1, 3), np.uint8)), b"x"], (1, 1, 3))


def test_statistics_are_those_of_each_picture_however_many_there_are() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (600, 4 * 5 * 3)).astype(np.float64)
    found = picture_statistics(rows, (4, 5, 3))
    colours = rows[599].reshape(20, 3)
    luma = colours @ (0.299, 0.587, 0.114)
    assert np.allclose(found[599], [luma.mean(), luma.std(), *colours.mean(axis=0)])
    grey = picture_statistics(rows[:, :20], (4, 5, 1))
    assert np.allclose(grey[0, 2:], rows[0, :20].mean())
