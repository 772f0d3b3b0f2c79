"""A model version in memory: its decoders and its guarded predictions."""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import DeadlineError, ModelError, PredictionError
from mlops_ray.model import Bundle, Probe, Signature
from mlops_ray.serve.batch_pace import BatchPace
from mlops_ray.serve.batch_sizes import BatchSizes
from mlops_ray.serve.batcher import Batcher
from mlops_ray.serve.predicted import Predicted
from mlops_ray.serve.request import Rows, RowsDecoder
from mlops_ray.serve.request_rules import RequestRules
from mlops_ray.serve.tensors import TensorDecoder
from mlops_ray.spec import Serve
from mlops_ray.telemetry import Histogram

__all__ = ["Decoders", "LoadedModel"]

# LightGBM most often answers so many rows in well under a millisecond: cheaper than a hand-over to another thread.
_INLINE_ROWS = (8, 16, 32, 64)
_INLINE_S = 0.001
_FEW_ROWS = 16
# A predict call of so many rows takes a few hundredths of a second; of pictures fewer do.
_SLICE_ROWS = 1000
_SLICE_NUMBERS = 2**18
_MATRIX_PER_BODY = 8
Matrix = NDArray[np.float64]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decoders:
    """Both request formats for one signature."""

    signature: Signature
    rows: RowsDecoder
    tensors: TensorDecoder
    rules: RequestRules
    quick: bool = True
    """Whether reading a request takes less than handing it to another thread; pictures take longer."""

    @classmethod
    def of(cls, signature: Signature, serve: Serve, *, ruled: bool = True) -> "Decoders":
        """Decoders for requests to a version with this signature; `ruled`: its rules are held against them."""
        rules = RequestRules(signature, serve.validation if ruled else "off")
        # a file of some hundred bytes may become a megabyte of numbers
        most = serve.max_rows
        if signature.image is not None:
            most = min(most, max(1, _MATRIX_PER_BODY * serve.max_body_bytes // (8 * signature.width)))
        rows = RowsDecoder(signature, max_rows=most, rules=rules)
        return cls(signature, rows, TensorDecoder(signature, max_rows=most), rules, signature.image is None)

    def checked(self, rows: Rows) -> Rows:
        """Rows that came as tensors or as a stream, with what the rules of the spec say of them.

        Raises:
            RequestError: 422, they break one, and the spec wants such requests rejected.
        """
        warnings = self.rules.of_matrix(rows.matrix)
        return replace(rows, warnings=warnings) if warnings else rows


class LoadedModel:
    """One version, ready to answer.

    Predictions run on the event loop where they take less than a hand-over to a thread, and otherwise on one thread
    of the model's own: predictors need not be thread-safe, and one that hangs leaves the event loop alone. The thread
    ends when the last request that holds the version has been answered, so that a version may be dropped while it
    works.
    """

    def __init__(self, version: int, bundle: Bundle, serve: Serve) -> None:
        self.version = version
        self.bundle = bundle
        self.decoders = Decoders.of(bundle.signature, serve)
        batching = serve.batching
        self._buckets = _buckets(batching.max_rows)
        signature = bundle.signature
        self._answer_shape = signature.answer_shape
        self._probabilities = signature.task != "regression"
        wide = signature.image is not None
        self._slice_rows = max(batching.max_rows, _SLICE_NUMBERS // signature.width) if wide else _SLICE_ROWS
        self._inline_rows = _INLINE_ROWS[-1] if bundle.manifest.flavor == "lightgbm" and batching.max_rows == 1 else 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"predict-v{version}")
        self._busy_since_s: float | None = None
        self._batches = BatchSizes()
        pace = BatchPace(
            max_rows=batching.max_rows, max_wait_s=batching.max_wait_ms / 1000, target_s=batching.target_ms / 1000
        )
        self._batcher = Batcher(
            f"model version {version}",
            self._predict_on_thread,
            pace=pace,
            max_waiting_rows=max(serve.max_rows, batching.max_rows * serve.max_ongoing_requests),
        )

    @property
    def signature(self) -> Signature:
        """Inputs and task of the version."""
        return self.bundle.signature

    def warm_up(self, rows: Matrix | None = None) -> None:
        """Predict once for each size of batch there is, so that no request pays for first-time work.

        The batches are made of `rows` (n, d), or of zeros. To be called before the first request.

        Raises:
            PredictionError: the model cannot predict these rows.
        """
        if rows is None or not len(rows):
            rows = np.zeros((1, self.signature.width))
        # libraries set themselves up by thread: it has to be the one that will predict
        self._thread.submit(self._warm_up, rows).result()

    def verify(self, probe: Probe) -> None:
        """Predict the probe's rows, all at once and by one and by few.

        Raises:
            ModelError: the answers are not the trainer's; the largest difference and its row are named.
        """
        for rows in dict.fromkeys((len(probe.matrix), min(8, len(probe.matrix)), 1)):
            answers = self._thread.submit(self._predict_parts, probe.matrix[:rows]).result()
            mismatch = probe.mismatch(answers)
            if mismatch is not None:
                raise ModelError(f"model version {self.version} is not what was trained: of {rows} rows, {mismatch}")

    def busy_s(self) -> float:
        """How long the predict call on the model's thread has been running; 0 when there is none."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.perf_counter() - since_s

    def predict_now(self, matrix: Matrix) -> Scores:
        """Scores (n,) or (n, classes) of the rows (n, d), on the calling thread.

        Raises:
            PredictionError: the model raised, or answered with something that is no prediction of these rows.
        """
        try:
            scores = self.bundle.predictor.predict(matrix)
        except PredictionError:
            raise
        except (Exception, SystemExit) as error:  # an exit would end the event loop without a word
            raise PredictionError(f"model version {self.version} raised {type(error).__name__}: {error}") from error
        return self._checked(np.asarray(scores, dtype=np.float64), len(matrix))

    async def predict(self, matrix: Matrix, *, deadline_s: float) -> Predicted:
        """Scores of the rows (n, d), predicted together with other requests' rows where the spec asks for batching.

        Raises:
            DeadlineError: there was no answer within `deadline_s`.
            RequestError: 503, too many rows wait already.
            PredictionError: as `predict_now`.
        """
        if len(matrix) > self._slice_rows:
            return await self._predict_slices(matrix, deadline_s)
        if len(matrix) > self._inline_rows or deadline_s <= 0:
            return await self._batcher.predict(matrix, deadline_s=deadline_s)
        if len(matrix) == 1:
            self._batches.single += 1
        else:
            self._batches.add(len(matrix))
        began_s = time.perf_counter()
        scores = self.predict_now(matrix)
        return Predicted(scores, 0.0, (time.perf_counter() - began_s) * 1000)

    async def _predict_slices(self, matrix: Matrix, within_s: float) -> Predicted:
        """As `predict`, and between its slices others have their turn: bulk scoring keeps nobody waiting for long."""
        until_s = time.perf_counter() + within_s
        parts: list[Predicted] = []
        for first in range(0, len(matrix), self._slice_rows):
            rows, left_s = matrix[first : first + self._slice_rows], until_s - time.perf_counter()
            try:
                parts.append(await self._batcher.predict(rows, deadline_s=left_s))
            except DeadlineError:
                done = f"{first} of {len(matrix)} rows were predicted within {within_s * 1000:.0f} ms"
                raise DeadlineError(f"model version {self.version} gave no answer in time: {done}") from None
        scores = np.concatenate([part.scores for part in parts])
        return Predicted(scores, sum(p.queue_ms for p in parts), sum(p.predict_ms for p in parts))

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a predict call."""
        return self._batcher.waiting_rows

    def take_batches(self) -> Histogram:
        """Sizes of the predict calls of requests since this was asked last."""
        return self._batches.take()

    async def _predict_on_thread(self, matrix: Matrix) -> Scores:
        self._batches.add(len(matrix))
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._predict_busily, matrix)

    def _predict_busily(self, matrix: Matrix) -> Scores:
        self._busy_since_s = time.perf_counter()
        try:
            return self.predict_now(matrix)
        finally:
            self._busy_since_s = None

    def _predict_parts(self, matrix: Matrix) -> Scores:
        step = self._slice_rows
        return np.concatenate([self._predict_busily(matrix[i : i + step]) for i in range(0, len(matrix), step)])

    def _warm_up(self, rows: Matrix) -> None:
        for size in self._buckets:
            self._predict_busily(_repeated(rows, size))
        if self._inline_rows:
            self._inline_rows = self._fast_rows(rows)

    def _fast_rows(self, rows: Matrix) -> int:
        """How many rows this model predicts in next to no time: larger ones are as slow as LightGBM is fast.

        0 or at least 8: a thread with fewer would share LightGBM's predictor for single rows with the event loop.
        """
        fast = 0
        for size in _INLINE_ROWS:
            batch = _repeated(rows, size)
            if min(self._seconds(batch) for _ in range(5)) > _INLINE_S:
                break
            fast = size
        return fast

    def _seconds(self, matrix: Matrix) -> float:
        began_s = time.perf_counter()
        self.predict_now(matrix)
        return time.perf_counter() - began_s

    def _checked(self, scores: Scores, rows: int) -> Scores:
        expected = (rows, *self._answer_shape) if self._answer_shape else (rows,)
        if scores.shape != expected:
            raise PredictionError(
                f"model version {self.version} answered shape {scores.shape} for {rows} rows; expected {expected}"
            )
        # For a few rows Python's own numbers are several times as fast as three passes of numpy.
        few = rows <= _FEW_ROWS and not self._answer_shape
        lowest, highest = _extremes(scores.tolist()) if few else (scores.min(), scores.max())
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            raise PredictionError(f"model version {self.version} answered NaN or infinity")
        if self._probabilities and (lowest < 0 or highest > 1):
            raise PredictionError(f"model version {self.version} answered a probability outside 0..1")
        return scores


def _extremes(scores: list[float]) -> tuple[float, float]:
    """Minimum and maximum; NaN when any is NaN, as numpy has it."""
    return (math.nan, math.nan) if any(map(math.isnan, scores)) else (min(scores), max(scores))


def _buckets(max_rows: int) -> list[int]:
    """Sizes of batches to get ready for: 1, 2, 4, ... and the largest; two at least, as many rows are no single row."""
    powers = [2**i for i in range(max(2, max_rows).bit_length()) if 2**i <= max(2, max_rows)]
    return list(dict.fromkeys((*powers, max(2, max_rows))))


def _repeated(rows: Matrix, size: int) -> Matrix:
    return rows[np.arange(size) % len(rows)]
