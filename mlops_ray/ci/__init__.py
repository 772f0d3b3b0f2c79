"""Continuous integration for a repository that holds a model: workflows, and a spec small enough to try in one."""

from mlops_ray.ci.smoke_spec import smoke_spec
from mlops_ray.ci.workflows import Provider, workflow_files

__all__ = ["Provider", "smoke_spec", "workflow_files"]
