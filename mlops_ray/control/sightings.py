"""Where causes are looked for: the store, the clock and the records; keeps what would be dear to ask every time."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mlops_ray.control.causes import Committed, Seen, label_base
from mlops_ray.control.guards import NewData
from mlops_ray.control.label_counts import LabelCounts
from mlops_ray.control.schedule_times import newest_due
from mlops_ray.control.window_table import base_of, version_number
from mlops_ray.spec import ModelSpec
from mlops_ray.store import ModelVersionRecord, Store

__all__ = ["Sightings"]

_HOUR_S = 3600.0


@dataclass
class Sightings:
    """One process's looks at all models of a store."""

    store: Store
    counts: LabelCounts | None
    clock: Callable[[], float]
    _read_to: int = 0  # the audit chain
    _committed: dict[str, Committed] = field(default_factory=dict)  # by table
    _rows: dict[str, int] = field(default_factory=dict)  # by dataset version
    _in_force: dict[str, tuple[str, float]] = field(default_factory=dict)  # model -> its spec, and since when

    def causes(self, spec: ModelSpec) -> Seen:
        """What speaks for a retraining of a model now."""
        store, retrain = self.store, spec.retrain
        triggers, versions = store.triggers(spec.name), store.model_versions(spec.name)
        seen = Seen(store.alerts(spec.name, state="open"), triggers, versions)
        champion = seen.champion
        labels = None
        if retrain.every_labels is not None and champion is not None and self.counts is not None:
            labels = self.counts.labelled(spec.name, label_base(triggers, champion).since_s)
        dataset = self.dataset(spec) if "new_data" in retrain.triggers else None
        return Seen(seen.alerts, triggers, versions, dataset, self._scheduled(spec), labels)

    def new_data(self, spec: ModelSpec) -> NewData:
        """What has come since the champion was trained, as far as the spec's guards ask."""
        guards, champion = spec.retrain.guards, self.store.champion(spec.name)
        if champion is None:
            return NewData()
        since_s = float(champion.training.get("started_s", champion.created_s))
        labels = maturity = rows = None
        if self.counts is not None and guards.min_new_labels:
            labels = self.counts.labelled(spec.name, since_s) or 0
        if self.counts is not None and guards.min_label_maturity:
            reach_s = spec.retrain.data.since_s
            # By the hour: what was counted from one moment on is of no use for another.
            window_s = since_s if reach_s is None else max(since_s, (self.clock() - reach_s) // _HOUR_S * _HOUR_S)
            maturity = self.counts.maturity(spec.name, window_s, self.clock() - spec.monitor.labels.matures_s) or 0.0
        if guards.min_new_rows and "new_data" in spec.retrain.triggers:
            rows = self._new_rows(spec, champion)
        return NewData(rows, labels, maturity)

    def dataset(self, spec: ModelSpec) -> Committed | None:
        """The newest version of the model's table that the audit chain tells of."""
        newest = self.store.events(limit=1)
        if newest and newest[-1].seq > self._read_to:
            for event in self.store.events(kind="dataset.committed", after=self._read_to):
                table = event.subject.partition("@")[0]
                number = version_number(event.subject, table)
                known = self._committed.get(table)
                if number is not None and (known is None or number > known.number):
                    self._committed[table] = Committed(event.subject, number, int(event.payload["rows"]), event.at_s)
                self._rows[event.subject] = int(event.payload["rows"])
            self._read_to = newest[-1].seq
        return self._committed.get(spec.table)

    def _new_rows(self, spec: ModelSpec, champion: ModelVersionRecord) -> int | None:
        dataset, known = self.dataset(spec), self._rows.get(base_of(champion.dataset, spec.table))
        return dataset.rows - known if dataset is not None and known is not None else None

    def _scheduled(self, spec: ModelSpec) -> float | None:
        """The newest moment of the schedule; None if the spec has its schedule only since then."""
        if spec.retrain.schedule is None:
            return None
        text = spec.model_dump_json()
        if self._in_force.get(spec.name, ("", 0.0))[0] != text:
            told = self.store.events(subject=spec.name, kind="model.registered", limit=1)
            self._in_force[spec.name] = text, told[-1].at_s if told else self.clock()
        due_s = newest_due(spec.retrain.schedule, self.clock())
        return due_s if due_s > self._in_force[spec.name][1] else None
