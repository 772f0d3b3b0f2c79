"""A Ray of this process's own, and the ways Ray Data reads Parquet in it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

__all__ = ["FEW_FOOTER_ACTORS", "READ_PARQUET", "TUNED_READ_PARQUET", "own_ray", "reading_footers_with"]

READ_PARQUET = "ray.data.read_parquet"
FEW_FOOTER_ACTORS = 2
TUNED_READ_PARQUET = f"the same, {FEW_FOOTER_ACTORS} footer actors"
_FOOTER_ACTORS = "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"  # 32 without it, started anew by each read


@contextmanager
def own_ray() -> Iterator[None]:
    """A local Ray, ended afterwards; the one that this process is connected to, where there is one."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home folder
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.init(include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def reading_footers_with(actors: int | None) -> Iterator[None]:
    """What `ray.data.read_parquet` reads inside is planned by so many actors; None leaves it to Ray."""
    before = os.environ.get(_FOOTER_ACTORS)
    if actors is not None:
        os.environ[_FOOTER_ACTORS] = str(actors)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_FOOTER_ACTORS] = before
        else:
            os.environ.pop(_FOOTER_ACTORS, None)
