"""The commented spec that `mlops-ray init` writes."""

from importlib.resources import files

__all__ = ["spec_template"]


def spec_template(name: str) -> str:
    """YAML text of a spec for model `name`, with every section explained."""
    return files("mlops_ray.spec").joinpath("template.yaml").read_text(encoding="utf-8").replace("NAME", name)
