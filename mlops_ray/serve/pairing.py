"""The champion's scores of rows that the version under delivery answered: made in bulk, off the request path."""

import asyncio
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from mlops_ray.errors import DeadlineError, PredictionError, RequestError
from mlops_ray.serve.recorder import Served

__all__ = ["with_paired_scores"]

# As many rows as a larger request has: the model's thread is busy for no longer than with one of those.
_CHUNK_ROWS = 64
_CHUNK_NUMBERS = 2**18  # of pictures
_CHUNK_DEADLINE_S = 5.0


async def with_paired_scores(served: Sequence[Served], *, budget_s: float = 1.0) -> list[Served]:
    """These records, with the champion's scores where it was to make them and could, within `budget_s`.

    A champion has its own way to predict beside requests; what it raises here is no user's concern, and no evidence.
    """
    paired = list(served)
    clock = asyncio.get_running_loop().time
    until_s = clock() + budget_s
    for places in _chunks(served):
        if clock() > until_s:
            break
        try:
            await _pair(paired, places)
        except (DeadlineError, RequestError):  # it hangs, or has no room even for requests now
            break
        await asyncio.sleep(0)  # requests first
    return paired


def _chunks(served: Sequence[Served]) -> Iterator[list[int]]:
    """Positions of records to pair, of one champion and of a few rows each time."""
    places: list[int] = []
    rows = 0
    for place, one in enumerate(served):
        if not one.to_pair:
            continue
        other = bool(places) and served[places[0]].encoded_by is not one.encoded_by
        most = max(1, min(_CHUNK_ROWS, _CHUNK_NUMBERS // max(1, one.matrix.shape[1])))
        if places and (other or rows + len(one.matrix) > most):
            yield places
            places, rows = [], 0
        places.append(place)
        rows += len(one.matrix)
    if places:
        yield places


async def _pair(records: list[Served], places: Sequence[int]) -> None:
    champion = records[places[0]].encoded_by
    matrix = np.concatenate([records[place].matrix for place in places])
    try:
        scores = (await champion.predict(matrix, deadline_s=_CHUNK_DEADLINE_S)).scores
    except DeadlineError:
        raise
    except PredictionError:
        if len(places) > 1:  # one row that the champion cannot predict takes no other's scores away
            for place in places:
                await _pair(records, [place])
        return
    start = 0
    for place in places:
        end = start + len(records[place].matrix)
        records[place] = msgspec.structs.replace(records[place], paired_scores=scores[start:end], to_pair=False)
        start = end
