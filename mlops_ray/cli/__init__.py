"""The `mlops-ray` command."""

from mlops_ray.cli.app import main

__all__ = ["main"]
