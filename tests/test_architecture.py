"""The rules of the architecture that a program can check; each failure names the file, the line and the rule."""

import ast
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_ray import errors
from mlops_ray.errors import MlopsRayError, RequestError

ROOT = Path(__file__).parents[1]
# A part imports from parts of lower layers only, so that parts of one layer never import each other.
LAYERS = (
    {"", "__version__"},  # the package itself
    {"errors", "verdict"},
    {"spec"},
    {"rollout", "drift", "evaluation", "lake", "pixels"},
    {"data", "model", "tracking", "store", "alerting", "records", "prometheus", "telemetry", "ci"},
    {"train", "serve", "monitor", "reports"},
    {"control"},
    {"demo"},
    {"cli", "benchmarks"},
    {"jobs"},
)
LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}
PURE = ("errors", "verdict", "spec", "rollout", "drift", "evaluation")
HEAVY = {"ray", "mlflow", "torch", "boto3", "lightgbm", "pyiceberg", "pyarrow", "pandas"}
# Decisions get time, chance and content as arguments.
OUTSIDE_WORLD = {"os", "pathlib", "random", "secrets", "socket", "subprocess", "tempfile", "time"}
DECISIONS = ("rollout", "drift", "evaluation")
TALKING = {"cli", "jobs", "demo", "benchmarks"}

MODULES = sorted(file for folder in ("mlops_ray", "jobs", "benchmarks") for file in (ROOT / folder).rglob("*.py"))
PACKAGE_MODULES = [file for file in MODULES if file.is_relative_to(ROOT / "mlops_ray")]


def name_of(file: Path) -> str:
    """The module's dotted name."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """The part a module belongs to; empty for the package itself."""
    first, *rest = module.split(".")
    return first if first != "mlops_ray" else rest[0] if rest else ""


def parsed(file: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports, inside functions too."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def every(files: list[Path]) -> pytest.MarkDecorator:
    """Run a test once for each file."""
    return pytest.mark.parametrize("file", files, ids=[str(file.relative_to(ROOT)) for file in files])


def in_parts(*parts: str) -> list[Path]:
    """The modules of these parts, as far as they are there."""
    return [file for file in MODULES if part_of(name_of(file)) in parts]


@every(MODULES)
def test_every_module_belongs_to_a_part_with_a_layer(file: Path) -> None:
    part = part_of(name_of(file))
    assert part in LAYER_OF, f"part {part!r} is in no layer of tests/test_architecture.py"


@every(MODULES)
def test_a_module_imports_from_lower_layers_only(file: Path) -> None:
    part = part_of(name_of(file))
    layer = LAYER_OF.get(part, len(LAYERS))
    ours = [
        (line, found, part_of(found)) for line, found in imports(file) if found.split(".")[0] in ("mlops_ray", "jobs")
    ]
    wrong = [
        f"line {line}: {found} is in layer {LAYER_OF.get(other, len(LAYERS))}, {part!r} in layer {layer}"
        for line, found, other in ours
        if other != part and LAYER_OF.get(other, len(LAYERS)) >= layer
    ]
    assert wrong == []


@every(MODULES)
def test_imports_are_absolute(file: Path) -> None:
    relative = [n.lineno for n in ast.walk(parsed(file)) if isinstance(n, ast.ImportFrom) and n.level > 0]
    assert relative == []


@every(in_parts(*DECISIONS))
def test_decisions_do_not_import_the_outside_world(file: Path) -> None:
    wrong = [(line, found) for line, found in imports(file) if found.split(".")[0] in OUTSIDE_WORLD | HEAVY]
    assert wrong == []


def test_pure_parts_import_nothing_heavy() -> None:
    modules = [name_of(file) for file in in_parts(*PURE)]
    script = f"import sys, {', '.join(modules)}\nprint(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@every([file for file in PACKAGE_MODULES if file.name != "__main__.py"])
def test_all_is_there_resolves_and_is_sorted(file: Path) -> None:
    tree = parsed(file)
    exported = [ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and _names(n) == ["__all__"]]
    bound = {name for node in tree.body for name in _names(node)}
    if not bound:
        return  # a package without names of its own
    assert len(exported) == 1, "a module says once what is public: __all__ = [...]"
    assert sorted(set(exported[0]) - bound) == [], "these names are not defined"
    assert list(exported[0]) == sorted(exported[0], key=_constants_classes_others)
    assert len(set(exported[0])) == len(exported[0])


def _names(node: ast.stmt) -> list[str]:
    """What a statement at the top of a module defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [alias.asname or alias.name.split(".")[0] for alias in names]
        case ast.Assign(targets=targets):
            return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.If() | ast.Try() | ast.With():
            return [
                name for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt) for name in _names(child)
            ]
        case _:
            return []


def _constants_classes_others(name: str) -> tuple[int, str]:
    """The order that ruff's RUF022 keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@every(MODULES)
def test_no_module_is_longer_than_300_lines(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300


@every(MODULES)
def test_no_function_is_longer_than_50_lines(file: Path) -> None:
    functions = [n for n in ast.walk(parsed(file)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [(n.name, n.lineno) for n in functions if (n.end_lineno or 0) - n.lineno >= 50] == []


@every([file for file in MODULES if part_of(name_of(file)) not in TALKING])
def test_only_entry_points_print(file: Path) -> None:
    calls = [n for n in ast.walk(parsed(file)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert [n.lineno for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"] == []


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_survives_pickling(name: str) -> None:
    error = getattr(errors, name)("expected this, found that")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert isinstance(copy, MlopsRayError)
    assert (copy.args, str(copy)) == (error.args, "expected this, found that")


def test_a_request_error_keeps_its_fields_when_pickled() -> None:
    copy = pickle.loads(pickle.dumps(RequestError("expected a number", "$.records[0].tenure", 400)))
    assert (copy.message, copy.path, copy.status) == ("expected a number", "$.records[0].tenure", 400)
    assert str(copy) == "expected a number (at $.records[0].tenure)"


def test_every_error_is_in_the_drawn_tree() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert defined == set(errors.__all__)
    assert [name for name in defined if f" {name} " not in f" {errors.__doc__} ".replace("\n", " ")] == []
