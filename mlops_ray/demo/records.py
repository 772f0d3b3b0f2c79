"""The raw records of the simulated company: usage events, subscriptions and support tickets, and their features.

All of it is simulated. Every value comes out of a seeded generator; no row is about a real customer or company.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["CONTRACTS", "PLANS", "Records", "features", "simulate"]

PLANS = ("starter", "team", "business", "enterprise")
CONTRACTS = ("annual", "monthly")

_USAGE_DAYS, _TICKET_DAYS, _PRODUCT_FEATURES = 30, 90, 24
_CALM_PLAN_MIX, _DRIFTED_PLAN_MIX = np.array((0.30, 0.35, 0.25, 0.10)), np.array((0.78, 0.14, 0.06, 0.02))
_SEATS_BY_PLAN, _FEE_PER_SEAT = np.array((3.0, 9.0, 25.0, 80.0)), np.array((12.0, 16.0, 22.0, 30.0))

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Records:
    """What three source systems hold about `customers` customers, numbered 0..customers-1 in the column `customer`."""

    customers: int
    usage: pa.Table  # one row per session: customer, day (0..29), minutes, feature (number of the product feature)
    subscriptions: pa.Table  # one row per customer: plan, contract, tenure_months, monthly_fee, seats, autopay
    tickets: pa.Table  # one row per ticket: customer, days_ago (0..89), resolution_hours, satisfaction (1..5 or null)


def simulate(rng: np.random.Generator, customers: int, *, covariate_drift: float) -> Records:
    """Draw the raw records of `customers` customers.

    `covariate_drift` 0..1 moves the population: people use the product less, small plans win, tickets multiply.
    """
    engagement = rng.normal(0.0, 1.0, customers) - 1.5 * covariate_drift
    subscriptions = _subscriptions(rng, customers, covariate_drift)
    tickets = _tickets(rng, customers, covariate_drift)
    return Records(customers, _usage(rng, engagement, covariate_drift), subscriptions, tickets)


def features(records: Records) -> pa.Table:
    """Aggregate raw records to one row of model inputs per customer, in the order of their numbers."""
    columns: dict[str, pa.Array] = {
        **_usage_features(records.usage, records.customers),
        **{name: records.subscriptions.column(name).combine_chunks() for name in records.subscriptions.column_names},
        **_ticket_features(records.tickets, records.customers),
    }
    return pa.table(dict(columns))


def _usage(rng: np.random.Generator, engagement: FloatArray, drift: float) -> pa.Table:
    logins = np.minimum(rng.poisson(np.exp(2.5 + 0.55 * engagement)), 200)
    customer = np.repeat(np.arange(len(logins)), logins)
    session_minutes = np.exp(3.0 + 0.3 * rng.normal(size=len(logins)) - 0.8 * drift)
    breadth = np.clip(10 + 5 * rng.normal(size=len(logins)) - 5 * drift, 2, _PRODUCT_FEATURES)
    return pa.table(
        {
            "customer": customer,
            "day": rng.integers(0, _USAGE_DAYS, len(customer)),
            "minutes": rng.gamma(4.0, session_minutes[customer] / 4.0),
            "feature": (breadth[customer] * rng.random(len(customer)) ** 1.5).astype(np.int64),
        }
    )


def _subscriptions(rng: np.random.Generator, customers: int, drift: float) -> pa.Table:
    mix = (1 - drift) * _CALM_PLAN_MIX + drift * _DRIFTED_PLAN_MIX
    plan = rng.choice(len(PLANS), size=customers, p=mix)
    seats = 1 + rng.poisson(_SEATS_BY_PLAN[plan] * rng.gamma(3.0, 1 / 3.0, customers))
    fee = seats * _FEE_PER_SEAT[plan] * np.exp(0.3 * rng.normal(size=customers))
    monthly = rng.random(customers) < np.array((0.75, 0.55, 0.4, 0.25))[plan]
    return pa.table(
        {
            "plan": np.array(PLANS)[plan],
            "contract": np.array(CONTRACTS)[monthly.astype(int)],
            "tenure_months": rng.gamma(1.4, 18.0, customers).astype(np.int64),
            "monthly_fee": np.round(fee, 2),
            "seats": seats.astype(np.int64),
            "autopay": rng.random(customers) < 0.6,
        }
    )


def _tickets(rng: np.random.Generator, customers: int, drift: float) -> pa.Table:
    trouble = rng.normal(size=customers) + 2.0 * drift
    count = np.minimum(rng.poisson(np.exp(-0.1 + 0.6 * trouble)), 60)
    customer = np.repeat(np.arange(customers), count)
    hours = np.exp(2.2 + 0.8 * rng.normal(size=len(customer)) + 0.25 * trouble[customer])
    mood = rng.normal(size=customers)[customer]
    stars = np.clip(np.round(4.0 + 0.9 * mood - 0.6 * np.log(hours / 9.0) + 0.5 * rng.normal(size=len(hours))), 1, 5)
    rated = rng.random(len(customer)) < 0.7
    return pa.table(
        {
            "customer": customer,
            "days_ago": rng.integers(0, _TICKET_DAYS, len(customer)),
            "resolution_hours": np.round(hours, 2),
            "satisfaction": pa.array(stars, mask=~rated),
        }
    )


def _usage_features(usage: pa.Table, customers: int) -> Mapping[str, pa.Array]:
    customer: IntArray = usage["customer"].to_numpy()
    logins = np.bincount(customer, minlength=customers)
    minutes = np.bincount(customer, weights=usage["minutes"].to_numpy(), minlength=customers)
    return {
        "logins_30d": pa.array(logins, pa.int64()),
        "active_days_30d": pa.array(_distinct(customer, usage["day"].to_numpy(), customers), pa.int64()),
        "minutes_per_session": pa.array(np.round(minutes / np.maximum(logins, 1), 2)),
        "features_used": pa.array(_distinct(customer, usage["feature"].to_numpy(), customers), pa.int64()),
    }


def _ticket_features(tickets: pa.Table, customers: int) -> Mapping[str, pa.Array]:
    customer: IntArray = tickets["customer"].to_numpy()
    satisfaction: FloatArray = tickets["satisfaction"].to_numpy()  # an unrated ticket is NaN here
    rated = ~np.isnan(satisfaction)
    return {
        "tickets_90d": pa.array(np.bincount(customer, minlength=customers), pa.int64()),
        "resolution_hours": _mean(customer, tickets["resolution_hours"].to_numpy(), customers),
        "satisfaction": _mean(customer[rated], satisfaction[rated], customers),
    }


def _distinct(customer: IntArray, value: IntArray, customers: int) -> IntArray:
    """How many different values (0.._TICKET_DAYS) each customer has."""
    pairs = np.unique(customer * (_TICKET_DAYS + 1) + value)
    return np.bincount(pairs // (_TICKET_DAYS + 1), minlength=customers)


def _mean(customer: IntArray, value: FloatArray, customers: int) -> pa.Array:
    """The mean value of each customer, null for those who have none."""
    count = np.bincount(customer, minlength=customers)
    total = np.bincount(customer, weights=value, minlength=customers)
    return pa.array(np.round(total / np.maximum(count, 1), 2), mask=count == 0)
