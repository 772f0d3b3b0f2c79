"""Encoded pictures to numbers: JPEG, PNG and WebP files in memory, and what is counted of them; knows no part."""

import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

__all__ = [
    "FORMATS",
    "LARGEST_PIXELS",
    "STATISTICS",
    "Shape",
    "decode_image",
    "decode_images",
    "encode_png",
    "picture_statistics",
]

Shape = tuple[int, int, int]
"""Height, width and channels; 1 channel is grey, 3 are red, green and blue."""

FORMATS = ("JPEG", "PNG", "WEBP")
LARGEST_PIXELS = 64 * 2**20
"""Pixels of a file at most: one of a few kilobytes can claim to hold gigabytes."""

STATISTICS = ("brightness", "contrast", "red", "green", "blue")
"""What is watched of a picture; a grey one has the same value in each colour."""

_MODES = {1: "L", 3: "RGB"}
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_AT_ONCE = 256  # pictures


def decode_image(content: bytes, shape: Shape) -> NDArray[np.uint8]:
    """The picture as (height, width, channels), resized where it is of another size (bilinear, antialiased).

    An orientation that a camera wrote down is not looked at; transparency is dropped.

    Raises:
        ValueError: it is no JPEG, PNG or WebP, is damaged, or has more than `LARGEST_PIXELS` pixels.

    >>> decode_image(encode_png(np.full((2, 2, 3), 7, np.uint8)), (1, 1, 3)).tolist()
    [[[7, 7, 7]]]
    """
    height, width, channels = shape
    try:
        with warnings.catch_warnings():
            # the limit below is ours; Pillow warns of its own
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > LARGEST_PIXELS:
                    raise ValueError(
                        f"has {image.width} x {image.height} pixels, more than the {LARGEST_PIXELS:,} that are read"
                    )
                if image.format == "JPEG":
                    # a large photograph is decoded in a half, a quarter or an eighth, never below the wanted size
                    image.draft(_MODES[channels], (width, height))
                pixels = image.convert(_MODES[channels])
    except Image.DecompressionBombError:
        raise ValueError(f"has many more pixels than the {LARGEST_PIXELS:,} that are read") from None
    except UnidentifiedImageError:
        raise ValueError(f"is no picture in {', '.join(FORMATS)} that can be read") from None
    except ValueError:
        raise
    except Exception as error:  # a stranger's file: whatever Pillow raises at it, it is not one that can be read
        raise ValueError(f"is a damaged picture ({error})") from error
    if pixels.size != (width, height):
        pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(pixels, dtype=np.uint8).reshape(shape)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width, channels) as a PNG file, which loses nothing."""
    picture = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    sink = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(sink, format="PNG")
    return sink.getvalue()


def picture_statistics(rows: NDArray[np.float64], shape: Shape) -> NDArray[np.float64]:
    """Of each picture, a row (n, height * width * channels) of values from 0 to 255, the `STATISTICS` (n, 5).

    Brightness is the mean luma, contrast its standard deviation over the pixels, a colour the mean of its channel.

    >>> picture_statistics(np.array([[255.0, 0.0, 0.0]]), (1, 1, 3)).round(1).tolist()
    [[76.2, 0.0, 255.0, 0.0, 0.0]]
    """
    found = np.empty((len(rows), len(STATISTICS)))
    for part in _parts(len(rows)):
        pixels = rows[part].reshape(-1, shape[0] * shape[1], shape[2])
        colours = pixels if shape[2] == 3 else np.repeat(pixels, 3, axis=2)
        luma = colours @ _LUMA
        found[part, 0], found[part, 1] = luma.mean(axis=1), luma.std(axis=1)
        found[part, 2:] = colours.mean(axis=1)
    return found


def _parts(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _AT_ONCE):
        yield slice(start, start + _AT_ONCE)


def decode_images(contents: Sequence[bytes], shape: Shape) -> NDArray[np.uint8]:
    """Several pictures as (n, height, width, channels).

    Raises:
        ValueError: as `decode_image`, with the place of the picture.
    """
    pixels = np.empty((len(contents), *shape), dtype=np.uint8)
    for place, content in enumerate(contents):
        try:
            pixels[place] = decode_image(content, shape)
        except ValueError as error:
            raise ValueError(f"picture {place} {error}") from None
    return pixels
