"""What a model version was trained on, as a few counts per feature that later windows are held against."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

from mlops_ray.drift.feature_reference import FeatureReference
from mlops_ray.drift.season import Season
from mlops_ray.errors import ValidationError

__all__ = ["ReferenceProfile"]


@dataclass(frozen=True)
class ReferenceProfile:
    """All columns of the reference, in the order of the matrices that are folded against it."""

    rows: int
    features: tuple[FeatureReference, ...]
    season: Season | None = None
    """Into what slots `FeatureReference.seasonal` counts."""
    block_auc: float | None = None
    """How well one of the reference's own blocks of time is told from the rest by all features together."""

    def with_importance(self, shares: Mapping[str, float]) -> Self:
        """The same, with what the model relies on, as shares by name; features without one have none."""
        features = tuple(replace(f, importance=shares.get(f.name, f.importance)) for f in self.features)
        return replace(self, features=features)

    def to_json(self) -> str:
        """JSON text."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`; also of what earlier versions wrote.

        Raises:
            ValidationError: the text is not a reference profile.
        """
        try:
            content = json.loads(text)
            features = tuple(FeatureReference.from_json(feature) for feature in content["features"])
            return cls(content["rows"], features, Season.from_json(content.get("season")), content.get("block_auc"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValidationError(f"expected the JSON of a reference profile, found something else: {error}") from None

    def prepared(self, make: Callable[[Sequence[FeatureReference]], Any]) -> Any:
        """What `make` makes of the features, made once."""
        if make not in self._made:
            self._made[make] = make(self.features)
        return self._made[make]

    @cached_property
    def _made(self) -> dict[Callable[[Sequence[FeatureReference]], Any], Any]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave what was prepared behind."""
        return {name: value for name, value in self.__dict__.items() if name != "_made"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
