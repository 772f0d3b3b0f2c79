"""A simulated SaaS company whose customers churn, with switches for drift; the data is made up, row by row.

Nothing here is about real customers: raw usage events, subscriptions and tickets come out of a seeded generator
(mlops_ray/demo/records.py), are aggregated to features, and a known formula decides who churns. That formula is what
`concept_drift` changes, and what lets a test say how good a model can be.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.demo.records import features, simulate

__all__ = ["BATCH_SPAN", "FEATURES", "LABEL_DELAY", "World"]

FEATURES = (
    "logins_30d", "active_days_30d", "minutes_per_session", "features_used",
    "plan", "contract", "tenure_months", "monthly_fee", "seats", "autopay",
    "tickets_90d", "resolution_hours", "satisfaction",
)  # fmt: skip
BATCH_SPAN = timedelta(days=30)  # time between the oldest and the newest row of a batch
LABEL_DELAY = timedelta(days=3)  # a row's outcome is known this long after it was observed

_POPULATION = 5_000_000  # customer numbers are drawn from so many, so that two batches rarely share a customer
_BREAKAGES = 3

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """One state of the simulated company; equal worlds give equal data.

    `covariate_drift` 0..1 moves who the customers are (they use less, on smaller plans, with more tickets).
    `concept_drift` 0..1 changes why they leave: idle, new and unbound customers at 0; dear, badly served and
    manually paying ones at 1, when idleness hardly matters.
    """

    seed: int
    covariate_drift: float = 0.0
    concept_drift: float = 0.0

    def batch(self, rows: int, start: datetime, seed: int) -> pa.Table:
        """`rows` customers observed in the 30 days from `start` (naive means UTC), oldest first.

        Columns: customer_id, observed_at (UTC), the 13 features, churned (int64 0/1). The rows of the last three days
        have a null label: their outcome is not known yet (`outcomes` knows it).
        """
        table = self._observed(rows, start, seed)
        newest = pc.max(table["observed_at"]).as_py()
        immature = pc.greater(table["observed_at"], pa.scalar(newest - LABEL_DELAY, table["observed_at"].type))
        label = pa.array(self.outcomes(table), mask=immature.combine_chunks().to_numpy(zero_copy_only=False))
        return table.append_column("churned", label)

    def broken_batch(self, rows: int, start: datetime, seed: int, *, bad_share: float = 0.06) -> pa.Table:
        """A batch in which `bad_share` of the rows are unfit: a null `seats`, negative minutes, or an unknown plan."""
        table = self.batch(rows, start, seed)
        rng = np.random.default_rng((self.seed, seed, 1))
        kind = np.where(rng.random(rows) < bad_share, rng.integers(1, 1 + _BREAKAGES, rows), 0)
        broken = {
            "seats": pa.array(table["seats"].to_numpy(), mask=kind == 1),
            "minutes_per_session": pa.array(np.where(kind == 2, -1.0, table["minutes_per_session"].to_numpy())),
            "plan": pa.array(np.where(kind == 3, "legacy", table["plan"].to_numpy())),
        }
        for name, column in broken.items():
            table = table.set_column(table.column_names.index(name), name, column.cast(table.schema.field(name).type))
        return table

    def requests(self, rows: int, start: datetime, seed: int) -> list[dict[str, Any]]:
        """`rows` customers as requests for predictions hold them: customer_id and the features, no time, no label."""
        rows_of_table: list[dict[str, Any]] = (
            self._observed(rows, start, seed).select(["customer_id", *FEATURES]).to_pylist()
        )
        return rows_of_table

    def outcomes(self, rows: pa.Table | Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """Whether each of these customers (customer_id and features) will churn: the truth, 0 or 1, shape (n,).

        A pure function of a row and the world: a customer's luck is a hash of its id, so that the outcome of a served
        row can be asked for later.
        """
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist([dict(row) for row in rows])
        luck = np.array([self._luck(customer) for customer in table["customer_id"].to_pylist()])
        return (luck < self.churn_probability(table)).astype(np.int64)

    def churn_probability(self, table: pa.Table) -> FloatArray:
        """The chance of each row to churn, shape (n,): the formula a model tries to learn."""
        calm, changed = _calm_score(table), _changed_score(table)
        score = (1 - self.concept_drift) * calm + self.concept_drift * changed
        return 1 / (1 + np.exp(-score))

    def _observed(self, rows: int, start: datetime, seed: int) -> pa.Table:
        rng = np.random.default_rng((self.seed, seed))
        inputs = features(simulate(rng, rows, covariate_drift=self.covariate_drift))
        numbers = rng.choice(_POPULATION, size=rows, replace=False)
        begin = start if start.tzinfo else start.replace(tzinfo=UTC)
        offsets_s = np.sort(rng.random(rows)) * BATCH_SPAN.total_seconds()
        times_us = np.int64(begin.timestamp() * 1e6) + (offsets_s * 1e6).astype(np.int64)
        identity = {
            "customer_id": pa.array([f"c{number:07d}" for number in numbers]),
            "observed_at": pa.array(times_us, pa.timestamp("us", tz="UTC")),
        }
        return pa.table(identity | {name: inputs[name] for name in FEATURES})

    def _luck(self, customer_id: str) -> float:
        digest = hashlib.blake2b(f"{self.seed}:{customer_id}".encode(), digest_size=7).digest()
        return int.from_bytes(digest, "big") / 2**56


def _calm_score(table: pa.Table) -> FloatArray:
    """Log odds of leaving as it was before the change: idle, new, on a monthly contract, with many tickets."""
    idle = (14.0 - _number(table, "active_days_30d")) / 5.0
    new = 2.7 - np.log1p(_number(table, "tenure_months"))
    monthly = (table["contract"].to_numpy() == "monthly").astype(float)
    tickets = np.minimum(_number(table, "tickets_90d"), 8.0)
    return -4.0 + 1.5 * idle + 1.0 * new + 1.8 * monthly + 0.5 * tickets


def _changed_score(table: pa.Table) -> FloatArray:
    """Log odds of leaving after the change: a dear seat, an unhappy or slow ticket, no autopay; idleness hardly."""
    fee_per_seat = _number(table, "monthly_fee") / np.maximum(_number(table, "seats"), 1.0)
    dear = np.log(np.maximum(fee_per_seat, 0.01) / 13.0) / 0.3
    unhappy = 3.6 - np.nan_to_num(_number(table, "satisfaction"), nan=3.6)
    slow = np.log(np.nan_to_num(_number(table, "resolution_hours"), nan=12.0) / 12.0)
    manual = 1.0 - _number(table, "autopay")
    idle = (14.0 - _number(table, "active_days_30d")) / 5.0
    new = 2.7 - np.log1p(_number(table, "tenure_months"))
    return -2.9 + 1.8 * dear + 1.3 * unhappy + 0.8 * slow + 2.2 * manual + 0.5 * idle + 0.6 * new


def _number(table: pa.Table, name: str) -> FloatArray:
    """A numeric or boolean column as float64, null as NaN."""
    column: FloatArray = pc.cast(table[name], pa.float64()).to_numpy()
    return column
