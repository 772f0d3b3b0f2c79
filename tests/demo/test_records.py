"""Raw records of the simulated company and what is counted in them."""

import numpy as np
import pyarrow as pa

from mlops_ray.demo.records import Records, features, simulate


def _records(*, usage: list[dict[str, float]], tickets: list[dict[str, float | None]]) -> Records:
    subscription = {"plan": "team", "contract": "annual", "tenure_months": 3, "monthly_fee": 80.0, "seats": 5}
    return Records(
        customers=2,
        usage=pa.Table.from_pylist(usage),
        subscriptions=pa.Table.from_pylist([subscription | {"autopay": True}] * 2),
        tickets=pa.Table.from_pylist(tickets),
    )


TWO_CUSTOMERS = _records(
    usage=[
        {"customer": 0, "day": 3, "minutes": 10.0, "feature": 1},
        {"customer": 0, "day": 3, "minutes": 20.0, "feature": 1},
        {"customer": 0, "day": 9, "minutes": 60.0, "feature": 4},
    ],
    tickets=[
        {"customer": 1, "days_ago": 1, "resolution_hours": 4.0, "satisfaction": 2.0},
        {"customer": 1, "days_ago": 8, "resolution_hours": 8.0, "satisfaction": None},
    ],
)


def test_usage_is_counted_by_session_day_and_product_feature() -> None:
    first = features(TWO_CUSTOMERS).to_pylist()[0]
    counted = {k: first[k] for k in ("logins_30d", "active_days_30d", "minutes_per_session", "features_used")}
    assert counted == {"logins_30d": 3, "active_days_30d": 2, "minutes_per_session": 30.0, "features_used": 2}


def test_a_customer_without_sessions_has_zeros() -> None:
    second = features(TWO_CUSTOMERS).to_pylist()[1]
    assert (second["logins_30d"], second["active_days_30d"], second["minutes_per_session"]) == (0, 0, 0.0)


def test_tickets_are_averaged_and_unrated_ones_left_out_of_the_satisfaction() -> None:
    second = features(TWO_CUSTOMERS).to_pylist()[1]
    assert (second["tickets_90d"], second["resolution_hours"], second["satisfaction"]) == (2, 6.0, 2.0)


def test_a_customer_without_tickets_has_no_resolution_time_and_no_satisfaction() -> None:
    first = features(TWO_CUSTOMERS).to_pylist()[0]
    assert (first["tickets_90d"], first["resolution_hours"], first["satisfaction"]) == (0, None, None)


def test_every_record_belongs_to_a_customer_and_every_customer_has_one_subscription() -> None:
    records = simulate(np.random.default_rng(3), 500, covariate_drift=0.0)
    assert records.subscriptions.num_rows == 500
    for table in (records.usage, records.tickets):
        customers = table["customer"].to_numpy()
        assert customers.min() >= 0
        assert customers.max() < 500
