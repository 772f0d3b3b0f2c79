"""YAML to `ModelSpec`, and every error as a sentence that names the key, what was expected and what was found."""

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mlops_ray.errors import SpecError
from mlops_ray.spec.model_spec import ModelSpec
from mlops_ray.spec.problem import problems, shown

__all__ = ["json_schema", "load_spec", "parse_spec"]


class _SpecLoader(yaml.SafeLoader):
    """Safe YAML in which a key written twice is an error, not a silent overwrite, 1e-3 is a number, and `on` a key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a repeated key, naming its line."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in seen:
                raise SpecError(f"line {key_node.start_mark.line + 1}: key {key!r} is written twice; keep one of them")
            seen.add(key)
            if key_node.tag == "tag:yaml.org,2002:bool":
                # YAML 1.1, which PyYAML reads, takes the key of `on: golden` for true; no key of a spec is one.
                key_node.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


_SQLITE_FILE = "sqlite:///"  # a fourth slash begins an absolute path

# YAML 1.1, which PyYAML reads, wants 1.0e-3 and takes 1e-3 as text; everybody else reads a number.
_SpecLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def load_spec(path: str | Path) -> ModelSpec:
    """Read the spec at `path`. Relative data sources are taken from the folder of the file.

    Raises:
        SpecError: no such file, no YAML, or a key, type or value that is not as expected; all of them are listed.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"spec {file}: no such file; `mlops-ray init NAME` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"spec {file}: cannot be read as UTF-8 text ({error})") from None
    spec = parse_spec(text, origin=str(file))
    return _with_absolute_golden(_with_absolute_source(spec, file.resolve().parent), file.resolve().parent)


def parse_spec(text: str, *, origin: str = "spec") -> ModelSpec:
    """Parse YAML or JSON text; `origin` names it in errors.

    Raises:
        SpecError: no YAML, or a key, type or value that is not as expected; all of them are listed, one a line.
    """
    content = _content(text, origin)
    if not isinstance(content, dict):
        raise SpecError(f"{origin}: expected a mapping of sections, found {shown(content)}")
    try:
        return ModelSpec.model_validate(content)
    except ValidationError as error:
        found = problems(ModelSpec, content, error.errors())
        raise SpecError("\n".join(f"{origin}: {problem}" for problem in found)) from None


def json_schema() -> str:
    """The JSON schema of a spec, for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **ModelSpec.model_json_schema()}
    return json.dumps(schema, indent=2)


def _content(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, Loader=_SpecLoader)
    except SpecError as error:
        raise SpecError(f"{origin}: {error}") from None
    # ValueError: a date or number that looks like one and is none; RecursionError: thousands of brackets.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from None


def _with_absolute_golden(spec: ModelSpec, folder: Path) -> ModelSpec:
    golden = spec.retrain.golden
    if golden is None or "://" in golden or "@" in golden or Path(golden).is_absolute():
        return spec
    return spec.model_copy(update={"retrain": spec.retrain.model_copy(update={"golden": str(folder / golden)})})


def _with_absolute_source(spec: ModelSpec, folder: Path) -> ModelSpec:
    source = spec.data.source
    if source.startswith(_SQLITE_FILE) and not source.startswith((f"{_SQLITE_FILE}/", f"{_SQLITE_FILE}:")):
        source = f"{_SQLITE_FILE}{folder / source.removeprefix(_SQLITE_FILE)}"
        return spec.model_copy(update={"data": spec.data.model_copy(update={"source": source})})
    if "://" in source or Path(source).is_absolute():
        return spec
    data = spec.data.model_copy(update={"source": str(folder / source)})
    return spec.model_copy(update={"data": data})
