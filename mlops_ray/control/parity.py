"""Asks a hosted version for rows it was judged on in training, over HTTP, before any user meets it."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from mlops_ray.control.client import ModelClient
from mlops_ray.errors import ClusterError, RequestError
from mlops_ray.model import read_probe
from mlops_ray.spec import ModelSpec
from mlops_ray.store import ModelVersionRecord

__all__ = ["BackgroundParity", "HttpParity", "ParityCheck"]

_log = logging.getLogger(__name__)
_ROWS_A_REQUEST = 250
# A route, a key or a free place that replicas do not have yet.
_NOT_YET = (401, 404, 429, 502, 503, 504)
# So many rows are too large, or take too long.
_TOO_MUCH = (413, 504)


class ParityCheck(Protocol):
    """Whether what is served is what was trained."""

    def difference(self, spec: ModelSpec, version: ModelVersionRecord) -> str | None:
        """A sentence about the first answer that differs; None when all are as in training.

        Raises:
            ClusterError: nobody answers there yet.
        """
        ...


class HttpParity:
    """The rows that a bundle keeps for this, sent as JSON through the ingress that users go through."""

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        self._url = url
        self._api_key = api_key

    def difference(self, spec: ModelSpec, version: ModelVersionRecord) -> str | None:
        """See `ParityCheck.difference`; a bundle without such rows, of an older version, has nothing to differ from."""
        probe = read_probe(version.bundle_uri)
        if probe is None or not len(probe.predictions):
            return None
        client = ModelClient(self._url, spec.name, api_key=self._api_key)
        records, size = probe.records(), min(_ROWS_A_REQUEST, spec.serve.max_rows)
        answers: list[Any] = []
        while len(answers) < len(records):
            answered = _predictions(client, records[len(answers) : len(answers) + size], version.version)
            if answered is None:
                size //= 2
            elif isinstance(answered, str):
                return f"parity: {answered}"
            else:
                answers += answered
        mismatch = probe.mismatch(np.asarray([_numbers(answer, spec.data.classes) for answer in answers]))
        return None if mismatch is None else f"parity, over HTTP: {mismatch}"


class BackgroundParity:
    """Another check on threads of its own: rows of a slow model take longer than anybody should wait for them."""

    def __init__(self, parity: ParityCheck, *, threads: int = 4) -> None:
        self._parity = parity
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="parity")
        self._asked: dict[tuple[str, int], Future[str | None]] = {}

    def difference(self, spec: ModelSpec, version: ModelVersionRecord) -> str | None:
        """See `ParityCheck.difference`; nobody answers as long as the check is under way."""
        key = (spec.name, version.version)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = self._pool.submit(self._parity.difference, spec, version)
        if not asked.done():
            raise ClusterError(f"version {version.version} of {spec.name!r} is being checked")
        del self._asked[key]
        return asked.result()


def _predictions(client: ModelClient, rows: Sequence[Mapping[str, Any]], version: int) -> list[Any] | str | None:
    """What the version says, or why the request was refused for good; None when fewer rows may go through."""
    try:
        answer = client.predict(rows, version=version)
    except RequestError as error:
        if error.status in _TOO_MUCH and len(rows) > 1:
            return None
        if error.status in _NOT_YET:
            raise ClusterError(f"version {version} does not answer yet ({error.status}): {error}") from error
        return f"the version refuses a row of its own training data: {error}"
    predictions: list[Any] = answer["predictions"]
    return predictions


def _numbers(prediction: Mapping[str, Any], classes: Sequence[str] | None) -> Any:
    """The score, or that of each class in the order of the training; NaN for one that is not named."""
    if classes is None:
        return prediction["score"]
    return [prediction.get("scores", {}).get(name, np.nan) for name in classes]
