"""Workflows for GitHub and GitLab, made from templates."""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

__all__ = ["Provider", "workflow_files"]

Provider = Literal["github", "gitlab"]

_PLACES: Mapping[Provider, str] = {"github": ".github/workflows/model.yml", "gitlab": ".gitlab-ci.yml"}
_TEST = '''"""The spec is one that mlops-ray takes; put tests of your own code beside this one."""

from mlops_ray.spec import load_spec


def test_the_spec_is_sound() -> None:
    assert load_spec("@@SPEC@@").name == "@@MODEL@@"
'''


def workflow_files(provider: Provider, *, spec: str, model: str) -> Mapping[str, str]:
    """Text by path: the workflow, a first test, and the requirements, for a model by its spec's path.

    >>> sorted(workflow_files("gitlab", spec="churn.yaml", model="churn"))
    ['.gitlab-ci.yml', 'requirements.txt', 'tests/test_churn_spec.py']
    """
    template = files("mlops_ray.ci").joinpath(f"{provider}.yaml").read_text(encoding="utf-8")
    texts = {
        _PLACES[provider]: template,
        f"tests/test_{model}_spec.py": _TEST,
        "requirements.txt": "mlops-ray\npytest\n",
    }
    named = {"SPEC": spec, "MODEL": model}
    return {path: re.sub("@@([A-Z]+)@@", lambda found: named[found[1]], text) for path, text in texts.items()}
