"""Models of a class that the user wrote; the bundle names the class, the code comes from the environment."""

import importlib
import json
from pathlib import Path

from mlops_ray.errors import ModelError
from mlops_ray.model.predictor import Predictor

__all__ = ["DESCRIPTION", "load_python_predictor"]

DESCRIPTION = "predictor.json"  # {"class": "package.module:Class"}


def load_python_predictor(folder: Path) -> Predictor:
    """The predictor `Class(folder)`, the class being the one that predictor.json names.

    Raises:
        ModelError: predictor.json is not as expected, the class cannot be imported, raises, or has no `predict`.
    """
    name = _class_name(folder / DESCRIPTION)
    module, _, attribute = name.partition(":")
    try:
        predictor = getattr(importlib.import_module(module), attribute)(folder)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"predictor class {name}: cannot be imported here ({error}); install its package") from error
    except Exception as error:  # the border to the user's code: whatever it raises, the model is unusable
        raise ModelError(f"predictor class {name}: raised {type(error).__name__}: {error}") from error
    if not callable(getattr(predictor, "predict", None)):
        raise ModelError(f"predictor class {name}: expected a method predict(matrix), found none")
    loaded: Predictor = predictor
    return loaded


def _class_name(file: Path) -> str:
    try:
        name = json.loads(file.read_text(encoding="utf-8"))["class"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f'{file.name}: expected {{"class": "package.module:Class"}} ({error!r})') from error
    if not isinstance(name, str) or name.count(":") != 1:
        raise ModelError(f"{file.name}: expected a class as package.module:Class, found {name!r}")
    return name
