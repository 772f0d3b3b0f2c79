"""A BentoML service with adaptive batching; BentoML's own environment imports it, with nothing of this project."""

import os

import bentoml  # type: ignore[import-not-found]  # is in an environment of its own
import lightgbm
import numpy as np

MODEL_FILE = "BENCHMARK_MODEL_FILE"


# As everywhere here: one worker, no access log.
@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Predictor:
    """Answers POST /predict with {"rows": [[...]]}; the fastest of the shapes that BentoML reads."""

    def __init__(self) -> None:
        self._booster = lightgbm.Booster(model_file=os.environ[MODEL_FILE])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Scores (n,) of rows (n, 30) of requests that arrived together."""
        return np.asarray(self._booster.predict(rows, num_threads=1))
