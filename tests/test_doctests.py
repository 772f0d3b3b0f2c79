"""The examples in the docstrings of the pure parts run, with exactly the results they show."""

import doctest
import importlib
import pkgutil
import sys

import pytest

PACKAGES = ("mlops_ray.rollout", "mlops_ray.drift", "mlops_ray.evaluation")


def modules() -> list[str]:
    names = []
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        names += [f"{package}.{module.name}" for module in pkgutil.iter_modules(path)]
    return names


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_are_right(name: str) -> None:
    importlib.import_module(name)
    # from sys.modules: a package may export a function of the same name as its module
    result = doctest.testmod(sys.modules[name])
    assert result.failed == 0, f"{name}: run `python -m doctest` on it to see the difference"


def test_each_pure_package_has_examples() -> None:
    finder = doctest.DocTestFinder()
    for package in PACKAGES:
        found = [test for name in modules() if name.startswith(package) for test in finder.find(sys.modules[name])]
        assert sum(len(test.examples) for test in found) >= 5
