"""Reads a request whose rows take long to read on another thread, so that other requests go on meanwhile."""

import asyncio
from dataclasses import replace

from mlops_ray.serve.answer import Body
from mlops_ray.serve.loaded import Decoders
from mlops_ray.serve.request import Rows
from mlops_ray.serve.seen_pictures import SeenPictures

__all__ = ["read_aside"]


async def read_aside(body: Body, decoders: Decoders) -> Rows:
    """The rows, as a version with these decoders reads them, and what the records keep of pictures.

    Raises:
        RequestError: the request cannot be read.
    """
    return await asyncio.get_running_loop().run_in_executor(None, _read, body, decoders)


def _read(body: Body, decoders: Decoders) -> Rows:
    rows = body.rows(decoders)
    if decoders.signature.image is None:
        return rows
    return replace(rows, seen=SeenPictures.of(decoders.signature, rows.matrix))
