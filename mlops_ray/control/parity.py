"""Asks a hosted version for rows it was judged on in training, over HTTP, before any user meets it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mlops_ray.control.client import ModelClient
from mlops_ray.errors import ClusterError, RequestError
from mlops_ray.model import read_probe
from mlops_ray.spec import ModelSpec
from mlops_ray.store import ModelVersionRecord

__all__ = ["HttpParity", "ParityCheck"]

_log = logging.getLogger(__name__)
_ROWS_A_REQUEST = 250
# A route, a key or a free place that replicas do not have yet.
_NOT_YET = (401, 404, 429, 503, 504)


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
        answers: list[float] = []
        for start in range(0, len(records), size):
            answered = _scores(client, records[start : start + size], version.version)
            if isinstance(answered, str):
                return f"parity: {answered}"
            answers += answered
        mismatch = probe.mismatch(np.asarray(answers))
        return None if mismatch is None else f"parity, over HTTP: {mismatch}"


def _scores(client: ModelClient, rows: Sequence[Mapping[str, Any]], version: int) -> list[float] | str:
    """What the version says, or why the request was refused for good."""
    try:
        answer = client.predict(rows, version=version)
    except RequestError as error:
        if error.status in _NOT_YET:
            raise ClusterError(f"version {version} does not answer yet ({error.status}): {error}") from error
        return f"the version refuses a row of its own training data: {error}"
    return [prediction["score"] for prediction in answer["predictions"]]
