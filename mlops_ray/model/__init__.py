"""Model bundles: what a model takes, the files it is made of, and the predictors that run them; knows no Ray."""

from mlops_ray.model.bundle import Bundle, Manifest, publish_bundle, write_bundle
from mlops_ray.model.encoding import encode, encode_pieces
from mlops_ray.model.explain import CHEAP_METHODS, explainer_for, explainer_of, load_explainer, why_not
from mlops_ray.model.explanation import Explainer, Explanation
from mlops_ray.model.load import load_bundle, read_attribution, read_probe
from mlops_ray.model.predictor import Predictor
from mlops_ray.model.probe import PROBE_ROWS, Probe, build_probe
from mlops_ray.model.signature import InputColumn, Signature, signature_of
from mlops_ray.model.trained import Flavor, TrainedModel

__all__ = [
    "CHEAP_METHODS",
    "PROBE_ROWS",
    "Bundle",
    "Explainer",
    "Explanation",
    "Flavor",
    "InputColumn",
    "Manifest",
    "Predictor",
    "Probe",
    "Signature",
    "TrainedModel",
    "build_probe",
    "encode",
    "encode_pieces",
    "explainer_for",
    "explainer_of",
    "load_bundle",
    "load_explainer",
    "publish_bundle",
    "read_attribution",
    "read_probe",
    "signature_of",
    "why_not",
    "write_bundle",
]
