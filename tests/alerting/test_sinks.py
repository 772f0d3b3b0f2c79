"""From a spec to sinks."""

from mlops_ray import spec
from mlops_ray.alerting import LogSink, WebhookSink, sinks_for


def test_each_entry_becomes_a_sink_in_its_order() -> None:
    hook = spec.WebhookSink(type="webhook", url="https://hooks.example.com/services/SECRET", timeout_s=2)
    first, second = sinks_for([hook, spec.LogSink()])
    assert isinstance(first, WebhookSink)
    assert isinstance(second, LogSink)
    assert (first.name, second.name) == ("webhook https://hooks.example.com", "log")


def test_no_entry_is_no_sink() -> None:
    assert sinks_for([]) == []
