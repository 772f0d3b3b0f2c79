"""What a trainer answers with: the files of a model, and what kind of model they make."""

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from mlops_ray.errors import ModelError

__all__ = [
    "ESTIMATOR_FILE",
    "LIGHTGBM_FILE",
    "MLFLOW_FOLDER",
    "TORCH_FILE",
    "TORCH_OPTIONS",
    "Autocast",
    "Flavor",
    "TrainedModel",
]

Flavor = Literal["lightgbm", "torch", "sklearn", "pyfunc", "python"]
Autocast = Literal["bfloat16", "float16"]

LIGHTGBM_FILE = "model.lgb.txt"
TORCH_FILE = "model.pt2"
TORCH_OPTIONS = "torch.json"  # {"autocast": "bfloat16"}; may be missing
ESTIMATOR_FILE = "estimator.pkl"
MLFLOW_FOLDER = "mlflow_model"


@dataclass(frozen=True)
class TrainedModel:
    """The files of a model, by name relative to their folder.

    `lightgbm`: model.lgb.txt. `torch`: model.pt2 (torch.export). `sklearn`: estimator.pkl. `pyfunc`: an MLflow model
    in mlflow_model/. `python`: predictor.json with {"class": "package.module:Class"} and whatever files that class
    wants; it is called with their folder.
    """

    flavor: Flavor
    files: Mapping[str, bytes]

    @classmethod
    def lightgbm(cls, booster: Any, *, rounds: int | None = None) -> Self:
        """A `lightgbm.Booster`, up to its best iteration unless `rounds` says otherwise."""
        return cls("lightgbm", {LIGHTGBM_FILE: booster.model_to_string(num_iteration=rounds).encode()})

    @classmethod
    def torch(cls, program: Any, *, autocast: Autocast | None = None) -> Self:
        """A `torch.export.ExportedProgram` from float64 (rows, width), NaN where missing, to (rows[, classes]).

        `autocast`: on CUDA the program runs in this precision where torch considers that safe. Its answers differ from
        those of the trainer by up to about 1 % then, so it is never done unasked.
        """
        # a trainer that has a program has imported torch
        import torch

        content = io.BytesIO()
        torch.export.save(program, content)
        options = {TORCH_OPTIONS: json.dumps({"autocast": autocast}).encode()} if autocast else {}
        return cls("torch", {TORCH_FILE: content.getvalue(), **options})

    @classmethod
    def sklearn(cls, estimator: Any) -> Self:
        """A fitted scikit-learn estimator or pipeline; `predict` answers a regression, `predict_proba` the other tasks.

        It was fitted on the matrices of the `TrialContext`, or on `mlops_ray.model.frame.to_frame` of them. Loading it
        unpickles, which runs code: that happens only with a file that has the digest its bundle was registered with.

        Raises:
            ModelError: it cannot be pickled.
        """
        try:
            content = pickle.dumps(estimator, protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ModelError(
                f"{type(estimator).__name__} cannot be pickled ({error}); put its functions and classes into a module "
                "that serving can import"
            ) from error
        return cls("sklearn", {ESTIMATOR_FILE: content})

    @classmethod
    def pyfunc(cls, folder: Path | str) -> Self:
        """An MLflow model saved in `folder`, of any kind that has the flavor python_function.

        It gets a pandas DataFrame as `mlops_ray.model.frame.to_frame` makes it. Loading it runs code, as said of
        `sklearn`.

        Raises:
            ModelError: `folder` holds no MLflow model.
        """
        folder = Path(folder)
        if not (folder / "MLmodel").is_file():
            raise ModelError(f"{folder}: expected a folder that MLflow saved a model in, found no file MLmodel")
        files = (file for file in sorted(folder.rglob("*")) if file.is_file())
        return cls(
            "pyfunc", {f"{MLFLOW_FOLDER}/{file.relative_to(folder).as_posix()}": file.read_bytes() for file in files}
        )
