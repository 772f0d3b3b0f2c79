"""The whole spec of one model."""

import hashlib
from typing import Self

from pydantic import Field, model_validator

from mlops_ray.spec.alerts import AlertPolicy, AlertSink, LogSink
from mlops_ray.spec.data import Data
from mlops_ray.spec.expression import COUNTS, names_in, parse_expression
from mlops_ray.spec.fairness import Fairness
from mlops_ray.spec.monitor import Monitor
from mlops_ray.spec.retrain import Retrain
from mlops_ray.spec.rollout import Rollout
from mlops_ray.spec.section import Section
from mlops_ray.spec.serve import Serve
from mlops_ray.spec.train import METRICS, Approval, Gate, Train

__all__ = ["ModelSpec"]


class ModelSpec(Section):
    """One model: its data, training, gates, serving, monitoring and retraining."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="name in MLflow, in URLs and in the store")
    data: Data
    train: Train = Train()
    gates: tuple[Gate, ...] = ()
    fairness: tuple[Fairness, ...] = Field((), max_length=20, description="how far groups may be treated differently")
    approval: Approval = Approval()
    serve: Serve = Serve()
    rollout: Rollout = Rollout()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    alerts: tuple[AlertSink, ...] = (LogSink(),)
    alerting: AlertPolicy = AlertPolicy()

    @property
    def table(self) -> str:
        """The Iceberg table of the model's data, `namespace.name`."""
        return self.data.table or f"mlops.{self.name}"

    @property
    def front_digest(self) -> str:
        """Names by its contents all that a champion replica fixes when it starts: one of another has to be replaced."""
        parts = (self.serve.model_dump_json(), self.rollout.promotion, f"{self.rollout.keep_warm_s:g}")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name == "mlops_ray_server":
            raise ValueError("name 'mlops_ray_server' is taken by the server itself; choose another")
        return self

    @model_validator(mode="after")
    def _alert_routes_are_told_apart(self) -> Self:
        names = [route.name for route in self.alerts if route.name is not None]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ValueError(f"alerts has two sinks of the name {name!r}; their names must differ")
        return self

    @model_validator(mode="after")
    def _rows_can_be_chosen(self) -> Self:
        if self.train.holdout.by == "unit" and self.data.unit is None:
            raise ValueError("train.holdout.by is 'unit', but data.unit names no column")
        if self.train.holdout.by == "time" and self.data.timestamp is None:
            raise ValueError("train.holdout.by is 'time', but data.timestamp names no column")
        if self.train.newest_rows is not None and self.data.timestamp is None:
            raise ValueError("train.newest_rows needs data.timestamp to know which rows are the newest")
        return self

    @model_validator(mode="after")
    def _classes_go_with_the_task(self) -> Self:
        multiclass = self.train.task == "multiclass"
        if multiclass and self.data.classes is None:
            raise ValueError("train.task is 'multiclass', but data.classes does not list the values of the label")
        if not multiclass and self.data.classes is not None:
            raise ValueError(f"data.classes is for train.task 'multiclass', found {self.train.task!r}")
        if multiclass and self.data.checks.max_leakage is not None:
            raise ValueError("data.checks.max_leakage is not there for train.task 'multiclass'; leave it out")
        return self

    @model_validator(mode="after")
    def _the_trainer_takes_the_features(self) -> Self:
        trainer, image = self.train.trainer, self.data.image
        if trainer == "torchvision" and image is None:
            raise ValueError("train.trainer 'torchvision' needs a feature of type image in data.features")
        if trainer in ("lightgbm", "torch") and image is not None:
            raise ValueError(
                f"feature {image!r} is an image, which train.trainer {trainer!r} does not take; use torchvision"
            )
        if trainer == "torchvision" and self.train.task == "regression":
            raise ValueError("train.trainer 'torchvision' is for the tasks binary and multiclass, found 'regression'")
        return self

    @model_validator(mode="after")
    def _outcomes_fit_the_task(self) -> Self:
        primary = [self.rollout.ab.primary] if self.rollout.ab is not None else []
        unfit = {
            "binary": (),
            "multiclass": ("log_loss", "squared_error", "absolute_error", "label"),
            "regression": ("error", "log_loss"),
        }.get(self.train.task, ())
        for outcome in (*self.rollout.analysis.outcomes, *primary):
            if outcome.of in unfit:
                raise ValueError(f"outcome {outcome.name!r}: {outcome.of} is not for task {self.train.task!r}")
        return self

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        known = METRICS[self.train.task]
        for i, gate in enumerate(self.gates):
            if gate.on == "golden" and self.retrain.golden is None:
                raise ValueError(f"gates[{i}] is on the golden set, but retrain.golden names none")
            if gate.metric not in known:
                raise ValueError(
                    f"gates[{i}].metric {gate.metric!r} is not for task {self.train.task!r}; "
                    f"expected one of {', '.join(known)}"
                )
        unknown = [f for f in self.monitor.features or () if f not in self.data.features]
        if unknown:
            raise ValueError(f"monitor.features names {unknown[0]!r}, which is no feature of data.features")
        captured = [f for f in self.serve.capture.fields if f not in self.data.features and f != "unit"]
        if captured:
            raise ValueError(f"serve.capture.fields names {captured[0]!r}, which is no feature and not `unit`")
        if "decay" in self.retrain.triggers and self.monitor.labels.decay is None:
            raise ValueError("retrain.triggers has 'decay', but monitor.labels.decay says not what decay is")
        return self

    @model_validator(mode="after")
    def _the_golden_set_gates(self) -> Self:
        if self.retrain.golden is not None and not any(gate.on == "golden" for gate in self.gates):
            metric = next(iter(METRICS[self.train.task]))
            raise ValueError(
                "retrain.golden names rows that no gate looks at; add a gate with `on: golden` to gates, such as "
                f"{{metric: {metric}, not_worse_by: 0.01, on: golden}}, or leave retrain.golden out"
            )
        return self

    @model_validator(mode="after")
    def _records_can_be_learned_from(self) -> Self:
        wanted = self.retrain.data
        if wanted.of_its_own and self.data.timestamp is None:
            raise ValueError(f"retrain.data.window {wanted.window!r} needs data.timestamp to know the newest rows")
        if not wanted.from_records:
            return self
        capture = self.serve.capture
        if not capture.enabled:
            raise ValueError("retrain.data.from_records needs the records that serve.capture.enabled turns off")
        if self.data.image is not None:
            raise ValueError("retrain.data.from_records: of a picture the records hold statistics only")
        lost = [name for name, policy in capture.fields.items() if policy != "keep"]
        used = [name for name in lost if name in self.data.features or (name == "unit" and self.data.unit is not None)]
        if used:
            raise ValueError(
                f"retrain.data.from_records needs every feature as it was served, but serve.capture.fields has "
                f"{used[0]!r}: {capture.fields[used[0]]}"
            )
        return self

    @model_validator(mode="after")
    def _decay_fits_the_task(self) -> Self:
        decay, known = self.monitor.labels.decay, METRICS[self.train.task]
        if decay is not None and decay.metric not in known:
            raise ValueError(
                f"monitor.labels.decay.metric {decay.metric!r} is not for task {self.train.task!r}; "
                f"expected one of {', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _business_metrics_name_what_is_there(self) -> Self:
        for i, metric in enumerate(self.monitor.labels.business):
            names = names_in(parse_expression(metric.expression))
            counted = bool(names & set(COUNTS))
            known = COUNTS if counted else ("label", "prediction", *self.data.features)
            try:
                parse_expression(metric.expression, names=known)
            except ValueError as error:
                raise ValueError(f"monitor.labels.business[{i}].expression: {error}") from None
            if counted and self.train.task != "binary":
                raise ValueError(
                    f"monitor.labels.business[{i}].expression: tp, fp, tn, fn and n are for task 'binary', "
                    f"found {self.train.task!r}"
                )
        return self

    @model_validator(mode="after")
    def _fairness_has_groups(self) -> Self:
        for i, limit in enumerate(self.fairness):
            feature = self.data.features.get(limit.attribute)
            if feature is None:
                raise ValueError(f"fairness[{i}].attribute names {limit.attribute!r}, which is no feature")
            if feature.type == "image" or (feature.type in ("float", "int")) != bool(limit.bins):
                raise ValueError(
                    f"fairness[{i}].attribute {limit.attribute!r}: expected a feature of type category or bool without "
                    f"bins, or a number with bins; found type {feature.type} and {len(limit.bins)} bins"
                )
            if self.train.task != "binary":
                raise ValueError(f"fairness is for train.task 'binary', found {self.train.task!r}")
        return self
