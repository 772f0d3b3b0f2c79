"""Model bundles: what a model takes, the files it is made of, and the predictors that run them; knows no Ray."""

from mlops_ray.model.bundle import Bundle, Flavor, Manifest, TrainedModel, publish_bundle, write_bundle
from mlops_ray.model.encoding import encode
from mlops_ray.model.load import load_bundle
from mlops_ray.model.predictor import Predictor
from mlops_ray.model.signature import InputColumn, Signature, signature_of

__all__ = [
    "Bundle",
    "Flavor",
    "InputColumn",
    "Manifest",
    "Predictor",
    "Signature",
    "TrainedModel",
    "encode",
    "load_bundle",
    "publish_bundle",
    "signature_of",
    "write_bundle",
]
