"""The `retrain` section: what starts a training by itself, and what has to hold before."""

from typing import Literal

from pydantic import Field

from mlops_ray.spec.section import Section

__all__ = ["Cause", "Guards", "Retrain"]

Cause = Literal["drift", "decay", "concept_drift"]
"""Kinds of alert that may start a retraining."""


class Guards(Section):
    """What has to hold before a trigger may start a training."""

    cooldown_s: float = Field(3600.0, ge=0, description="time between two retrainings of a model")
    max_per_day: int = Field(4, ge=1)
    min_new_rows: int = Field(0, ge=0, description="good rows the new data must bring")


class Retrain(Section):
    """What starts a retraining by itself."""

    triggers: tuple[Cause, ...] = Field((), description="causes that start one; none by default")
    guards: Guards = Guards()
