"""FastAPI + orjson + LightGBM without anything else: `python -m benchmarks.plain_app FOLDER PORT`."""

import sys
from pathlib import Path

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

from benchmarks.lifetime import serve_app
from benchmarks.workload import NAMES, load_booster


def make_app(folder: Path) -> FastAPI:
    """An app that answers POST /predict with the model in `folder`."""
    booster = load_booster(folder)
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        records = orjson.loads(await request.body())["records"]
        matrix = np.array([[record[name] for name in NAMES] for record in records])
        scores = np.asarray(booster.predict(matrix, num_threads=1))
        return Response(orjson.dumps({"predictions": scores.tolist()}), media_type="application/json")

    return app


if __name__ == "__main__":
    serve_app(make_app(Path(sys.argv[1])), int(sys.argv[2]))
