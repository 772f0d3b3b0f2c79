"""FastAPI + mlflow.pyfunc + pandas, as most tutorials write it: `python -m benchmarks.pyfunc_app FOLDER PORT`."""

import sys
from pathlib import Path

import mlflow.lightgbm
import mlflow.pyfunc
import numpy as np
import pandas as pd
from fastapi import FastAPI
from mlflow.models import infer_signature
from pydantic import BaseModel

from benchmarks.lifetime import serve_app
from benchmarks.workload import NAMES, load_booster


class PredictRequest(BaseModel):
    """Records as a client sends them."""

    records: list[dict[str, float]]


def save_with_mlflow(folder: Path) -> Path:
    """Where the model of `folder` lies as MLflow keeps it, with its signature; saved there once."""
    saved = folder / "mlflow"
    if not saved.exists():
        example = pd.DataFrame(np.load(folder / "training.npy")[:100], columns=NAMES)
        booster = load_booster(folder)
        signature = infer_signature(example, booster.predict(example))
        mlflow.lightgbm.save_model(booster, saved, signature=signature, pip_requirements=["lightgbm"])
    return saved


def make_app(folder: Path) -> FastAPI:
    """An app that answers POST /predict with the model in `folder`, logged and loaded through MLflow."""
    model = mlflow.pyfunc.load_model(str(save_with_mlflow(folder)))
    app = FastAPI()

    @app.post("/predict")
    def predict(request: PredictRequest) -> dict[str, list[float]]:
        scores = model.predict(pd.DataFrame(request.records))
        return {"predictions": scores.tolist()}

    return app


if __name__ == "__main__":
    serve_app(make_app(Path(sys.argv[1])), int(sys.argv[2]))
