"""A process that explains: started by whoever wants no explanation to share its own time, memory or lock.

`main` answers messages on the socket whose number is the first argument, in order, until its other end is closed; it
takes the lowest priority there is. (Not as `python -m`, where this module would be there twice, and its messages too.)
"""

import os
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import MlopsRayError, ModelError, PredictionError
from mlops_ray.model.bundle import Bundle
from mlops_ray.model.explain import load_explainer
from mlops_ray.model.explanation import Explainer, Explanation

__all__ = ["Ask", "Explained", "Load", "Loaded", "answer", "main"]

_LOWEST_PRIORITY = 19


@dataclass(frozen=True)
class Load:
    """Hold this model from now on; answered with `Loaded` or a `ModelError`."""

    uri: str
    digest: str
    max_predictions: int


@dataclass(frozen=True)
class Loaded:
    """The model is held."""

    method: str
    exact: bool


@dataclass(frozen=True)
class Ask:
    """Explain rows (n, features) of the model that is held; answered with `Explained` or a `PredictionError`."""

    matrix: NDArray[np.float64]
    places: NDArray[np.int64] | None


@dataclass(frozen=True)
class Explained:
    """What the model answers, and why."""

    predictions: NDArray[np.float64]
    explanation: Explanation


class _Held:
    """The model of this process."""

    def __init__(self) -> None:
        self._held: tuple[Bundle, Explainer] | None = None

    def load(self, wanted: Load) -> Loaded:
        self._held = None  # two may not fit
        self._held = load_explainer(wanted.uri, digest=wanted.digest, max_predictions=wanted.max_predictions)
        return Loaded(self._held[1].method, self._held[1].exact)

    def explain(self, asked: Ask) -> Explained:
        if self._held is None:
            raise ModelError("no model was loaded to explain")
        bundle, explainer = self._held
        return Explained(bundle.predict(asked.matrix), explainer.explain(asked.matrix, asked.places))


def answer(link: Connection) -> None:
    """Answer messages until the other end closes."""
    held = _Held()
    while True:
        try:
            message: Load | Ask = link.recv()
        except (EOFError, ConnectionError):
            return
        link.send(_outcome(held, message))


def _outcome(held: _Held, message: Load | Ask) -> Loaded | Explained | MlopsRayError:
    try:
        return held.load(message) if isinstance(message, Load) else held.explain(message)
    except MlopsRayError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a model is foreign code, and whoever asked waits for an answer
        return PredictionError(f"it cannot be explained: {type(error).__name__}: {error}")


def main() -> None:
    """Answer on the socket that the command line names."""
    os.nice(_LOWEST_PRIORITY)
    answer(Connection(int(sys.argv[1])))
