import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlops_ray.telemetry import METRICS, Page, Tally

AWKWARD = 'a"b\\c\nd'


def page() -> Page:
    made, tally = Page(), Tally()
    tally.add(("mlops_ray_requests_total", "3", "champion", "200"), 7)
    tally.observe(("mlops_ray_request_duration_seconds", "3", "champion"), [0.0004, 0.005, 99.0])
    made.put_tally(tally, AWKWARD)
    made.put("route_share", 0.05, AWKWARD)
    made.put("store_up", 1)
    return made


def test_prometheus_own_parser_reads_what_was_put() -> None:
    families = {family.name: family for family in text_string_to_metric_families(page().text())}
    assert families["mlops_ray_requests"].type == "counter"
    (requests,) = families["mlops_ray_requests"].samples
    assert requests.labels == {"model": AWKWARD, "version": "3", "role": "champion", "code": "200"}
    assert requests.value == 7
    assert families["mlops_ray_route_share"].samples[0].value == 0.05
    assert families["mlops_ray_store_up"].samples[0].labels == {}
    buckets = {
        s.labels["le"]: s.value for s in families["mlops_ray_request_duration_seconds"].samples if "le" in s.labels
    }
    assert (buckets["0.001"], buckets["0.005"], buckets["10"], buckets["+Inf"]) == (1, 2, 2, 3)
    assert len(buckets) == len(METRICS["mlops_ray_request_duration_seconds"].edges) + 1


def test_what_was_not_put_is_not_there() -> None:
    assert "mlops_ray_models" not in page().text()
    assert Page().text() == ""


def test_a_series_without_all_of_its_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="route_share"):
        Page().put("route_share", 1.0)
    with pytest.raises(KeyError):
        Page().put("never_declared", 1.0)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_names_are_as_prometheus_wants_them(name: str) -> None:
    metric = METRICS[name]
    assert name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.edges) == (metric.kind == "histogram")
    assert list(metric.edges) == sorted(metric.edges)
    assert not {"le", "job", "instance"} & set(metric.labels)
