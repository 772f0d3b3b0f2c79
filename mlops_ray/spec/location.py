"""From pydantic's location of an error to the place in the user's file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

__all__ = ["Location", "locate"]

_Section = type[BaseModel]


@dataclass(frozen=True)
class Location:
    """A key or item in a file, with what is around it."""

    path: tuple[int | str, ...]
    around: Any  # the mapping or list that the last part of the path is in
    sections: tuple[_Section, ...]  # what that mapping may be; several where the user chose none of a union

    def __str__(self) -> str:
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    @property
    def keys(self) -> list[str]:
        """Keys that are valid here."""
        return sorted({name for section in self.sections for name in section.model_fields})

    @property
    def needed_keys(self) -> list[str]:
        """Those of them that are required, and not there."""
        required = {n for section in self.sections for n, field in section.model_fields.items() if field.is_required()}
        return sorted(required - set(self.around))


def locate(model: _Section, content: Any, location: Sequence[int | str]) -> Location:
    """Follow `location` through the fields of `model`, and leave out those of its parts that are not in the file."""
    annotation: Any = model
    value = content
    chosen: tuple[_Section, ...] = ()
    here = Location((), content, ())
    for part in location:
        variants = _variants(annotation)
        if len(variants) > 1:  # then the part is the tag of the one that was tried
            chosen = _chosen(variants, value)
            annotation = next((variant for variant in variants if part in _tags(variant)), None)
            continue
        if not variants and _container(annotation) is None:  # then it is the name of a plain type that was tried
            break
        if variants and not isinstance(value, Mapping):  # then it is a key that a short form stands for
            break
        here = Location((*here.path, part), value, chosen or variants)
        annotation, value, chosen = _inside(annotation, part), _item(value, part), ()
    return here


def _variants(annotation: Any) -> tuple[_Section, ...]:
    """The section that an annotation is, or those that it is a union of."""
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return (bare,)
    return tuple(s for member in get_args(bare) for s in _variants(member)) if _is_union(bare) else ()


def _chosen(variants: tuple[_Section, ...], value: Any) -> tuple[_Section, ...]:
    """The variant that the user's mapping names, by its type or by its only key; all of them if it names none."""
    words = [*value, value.get("type")] if isinstance(value, Mapping) else []
    return tuple(variant for variant in variants if any(tag in words for tag in _tags(variant)))[:1] or variants


def _tags(section: _Section) -> Sequence[str]:
    kind = section.model_fields.get("type")
    return get_args(kind.annotation) if kind else list(section.model_fields)


def _inside(annotation: Any, part: int | str) -> Any:
    for section in _variants(annotation):
        field = section.model_fields.get(str(part))
        return field.annotation if field else None
    return _container(annotation)


def _container(annotation: Any) -> Any:
    """What the items of a tuple or the values of a mapping are; None for everything else."""
    bare = _bare(annotation)
    if get_origin(bare) is tuple:
        return get_args(bare)[0]
    return get_args(bare)[1] if get_origin(bare) is Mapping else None


def _bare(annotation: Any) -> Any:
    """Without metadata, and without `| None`, which pydantic's locations do not name."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    members = [member for member in get_args(annotation) if member is not NoneType] if _is_union(annotation) else []
    return _bare(members[0]) if len(members) == 1 else annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _item(value: Any, part: int | str) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):  # a key that is missing, or a short form
        return None
