"""One deployment on Ray Serve behind its default proxy: `python -m benchmarks.ray_serve_app FOLDER PORT`."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from benchmarks.lifetime import wait_for_the_end
from benchmarks.workload import NAMES, load_booster


class BarePredictor:
    """Answers any path with the model in `folder`."""

    def __init__(self, folder: str) -> None:
        self._booster = load_booster(Path(folder))

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Scores of the records in the body."""
        records = (await request.json())["records"]
        matrix = np.array([[record[name] for name in NAMES] for record in records])
        scores = np.asarray(self._booster.predict(matrix, num_threads=1))
        return {"predictions": scores.tolist()}


def main(folder: str, port: int) -> None:
    """Serve until standard input closes."""
    with tempfile.TemporaryDirectory(prefix="bm", dir="/tmp") as temporary:
        ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=temporary, object_store_memory=10**8
        )
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": port})
            serve.run(serve.deployment(BarePredictor).options(max_ongoing_requests=64).bind(folder))
            wait_for_the_end()
        finally:
            serve.shutdown()
            ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
