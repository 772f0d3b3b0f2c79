"""Imports torchvision, also where its C++ extension does not fit the build of torch.

torchvision from PyPI is built for CUDA; on a CPU build of torch its extension does not load, and its Python part then
misses two operators of object detection. With their schemas declared, models and transforms work.
"""

import importlib
import warnings
from types import ModuleType

# whoever asks for torchvision has torch already
import torch

__all__ = ["import_torchvision"]

_MISSING = "operator torchvision::nms does not exist"
_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# a schema is there as long as the object that declared it
_declared: list[torch.library.Library] = []


def import_torchvision(module: str = "torchvision") -> ModuleType:
    """torchvision, or a module of it such as `torchvision.transforms.v2`."""
    with warnings.catch_warnings():
        # it warns that it cannot read image files, which mlops_ray.pixels does
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(module)
        except RuntimeError as error:
            if _MISSING not in str(error):
                raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in _OPERATORS:
            library.define(f"{name}{_SCHEMA}")
        _declared.append(library)
        return importlib.import_module(module)
