"""A bundle as the folder that MLflow calls a model: the bundle, a loader to name, the signature, an example."""

import json
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_ray.spec import FeatureType
from mlops_ray.tracking.connection import quiet_mlflow
from mlops_ray.tracking.values import ModelInput

__all__ = ["write_model_folder"]

# names the module whose _load_pyfunc opens the bundle; a string, because tracking and model are siblings
_LOADER = "mlops_ray.model.pyfunc"
_BUNDLE = "bundle"
_EXAMPLE = "input_example.json"

_TYPES: dict[FeatureType, str] = {
    "float": "double",
    "int": "long",
    "bool": "boolean",
    "category": "string",
    "image": "binary",
}


def write_model_folder(
    folder: Path,
    bundle: Path,
    *,
    inputs: Sequence[ModelInput],
    requirements: Sequence[str],
    identity: dict[str, Any],
    classes: Sequence[str] = (),
) -> None:
    """Write `bundle` as an MLflow model into `folder`; `classes` name the columns of a multiclass model's answer.

    `identity` holds the ids MLflow gave (model_id, run_id, artifact_path). MLflow's own `save_model` would start pip
    to guess the requirements; here they are given.
    """
    mlflow = quiet_mlflow()
    shutil.copytree(bundle, folder / _BUNDLE)
    model = mlflow.models.Model(signature=_signature(inputs, classes), **identity)
    if all(column.examples and column.type != "image" for column in inputs):
        (folder / _EXAMPLE).write_text(json.dumps(_example(inputs)), encoding="utf-8")
        model.saved_input_example_info = {
            "artifact_path": _EXAMPLE,
            "type": "dataframe",
            "pandas_orient": "split",
        }
    (folder / "requirements.txt").write_text("\n".join([*requirements, ""]), encoding="utf-8")
    # the flavor by its keys: importing mlflow.pyfunc for this costs 1 s
    model.add_flavor("python_function", loader_module=_LOADER, data=_BUNDLE, python_version=platform.python_version())
    model.save(str(folder / "MLmodel"))


def _signature(inputs: Sequence[ModelInput], classes: Sequence[str]) -> Any:
    mlflow = quiet_mlflow()
    columns = [
        mlflow.types.ColSpec(_mlflow_type(column), column.name, required=not column.nullable) for column in inputs
    ]
    answer = [mlflow.types.ColSpec("double", name) for name in classes] or [mlflow.types.ColSpec("double")]
    prediction = mlflow.types.Schema(answer)
    return mlflow.models.ModelSignature(inputs=mlflow.types.Schema(columns), outputs=prediction)


def _mlflow_type(column: ModelInput) -> str:
    # pandas turns an int column with gaps into float, which MLflow would refuse for a long
    return "double" if column.type == "int" and column.nullable else _TYPES[column.type]


def _example(inputs: Sequence[ModelInput]) -> dict[str, Any]:
    rows = list(zip(*(column.examples for column in inputs), strict=True))
    return {"columns": [column.name for column in inputs], "data": rows}
