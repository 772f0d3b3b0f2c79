"""A model version in memory: its decoders and its guarded predictions."""

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError
from mlops_ray.model import Bundle, Signature
from mlops_ray.serve.batcher import Batcher
from mlops_ray.serve.request import RowsDecoder
from mlops_ray.serve.tensors import TensorDecoder
from mlops_ray.spec import Serve

__all__ = ["Decoders", "LoadedModel"]

# LightGBM answers this many rows in well under a millisecond: cheaper than a hand-over to another thread.
_INLINE_ROWS = 64
_FEW_ROWS = 16
Matrix = NDArray[np.float64]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decoders:
    """Both request formats for one signature."""

    signature: Signature
    rows: RowsDecoder
    tensors: TensorDecoder

    @classmethod
    def of(cls, signature: Signature, serve: Serve) -> "Decoders":
        """Decoders for requests to a version with this signature."""
        rows = RowsDecoder(signature, max_rows=serve.max_rows)
        return cls(signature, rows, TensorDecoder(signature, max_rows=serve.max_rows))


class LoadedModel:
    """One version, ready to answer.

    Predictions run on the event loop where they take less than a hand-over to a thread, and otherwise on one thread
    of the model's own: predictors need not be thread-safe. The thread ends when the last request that holds the
    version has been answered, so that a version may be dropped while it works.
    """

    def __init__(self, version: int, bundle: Bundle, serve: Serve) -> None:
        self.version = version
        self.bundle = bundle
        self.decoders = Decoders.of(bundle.signature, serve)
        self._inline_rows = _INLINE_ROWS if bundle.manifest.flavor == "lightgbm" else 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"predict-v{version}")
        batching = serve.batching
        self._batcher = (
            Batcher(self._predict_anywhere, max_rows=batching.max_rows, max_wait_s=batching.max_wait_ms / 1000)
            if batching.max_rows > 1
            else None
        )

    @property
    def signature(self) -> Signature:
        """Inputs and task of the version."""
        return self.bundle.signature

    def warm_up(self) -> None:
        """Predict once per code path, so that no request pays for first-time work.

        Raises:
            PredictionError: the model cannot predict rows without any value.
        """
        for rows in (1, 2):
            self.predict_now(np.zeros((rows, len(self.signature.inputs))))

    def predict_now(self, matrix: Matrix) -> Scores:
        """Scores (n,) of the rows (n, d), on the calling thread.

        Raises:
            PredictionError: the model raised, or answered with something that is no prediction of these rows.
        """
        try:
            scores = self.bundle.predictor.predict(matrix)
        except PredictionError:
            raise
        except Exception as error:
            raise PredictionError(f"model version {self.version} raised {type(error).__name__}: {error}") from error
        return self._checked(np.asarray(scores, dtype=np.float64), len(matrix))

    async def predict(self, matrix: Matrix, *, deadline_s: float) -> Scores:
        """Scores (n,) of the rows (n, d), together with other requests' rows where the spec asks for batching.

        Raises:
            PredictionError: as `predict_now`, or there was no answer within `deadline_s`.
        """
        if self._batcher is None and len(matrix) <= self._inline_rows:
            return self.predict_now(matrix)
        predict = self._batcher.predict if self._batcher is not None else self._predict_anywhere
        try:
            return await asyncio.wait_for(predict(matrix), deadline_s)
        except TimeoutError:
            raise PredictionError(
                f"model version {self.version} gave no answer within {deadline_s * 1000:g} ms"
            ) from None

    async def _predict_anywhere(self, matrix: Matrix) -> Scores:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.predict_now, matrix)

    def _checked(self, scores: Scores, rows: int) -> Scores:
        if scores.shape != (rows,):
            raise PredictionError(
                f"model version {self.version} answered shape {scores.shape} for {rows} rows; expected ({rows},)"
            )
        # For a few rows Python's own numbers are several times as fast as three passes of numpy.
        lowest, highest = _extremes(scores.tolist()) if rows <= _FEW_ROWS else (scores.min(), scores.max())
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            raise PredictionError(f"model version {self.version} answered NaN or infinity")
        if self.signature.task == "binary" and (lowest < 0 or highest > 1):
            raise PredictionError(f"model version {self.version} answered a probability outside 0..1")
        return scores


def _extremes(scores: list[float]) -> tuple[float, float]:
    """Minimum and maximum; NaN when any is NaN, as numpy has it."""
    return (math.nan, math.nan) if any(map(math.isnan, scores)) else (min(scores), max(scores))
