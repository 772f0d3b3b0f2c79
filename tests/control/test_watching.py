"""When a source is looked at."""

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest

from mlops_ray.control.operations import ingest_batch
from mlops_ray.control.watching import Watch
from mlops_ray.data import IngestResult
from mlops_ray.data.events import EventQueue
from mlops_ray.data.listing import s3_client
from mlops_ray.errors import ValidationError
from mlops_ray.lake import S3Connection
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Store
from tests.data.batches import spec_of, table_of


@pytest.fixture
def source(s3: str) -> tuple[str, str]:
    """A bucket, and the URL of the queue that its events go to."""
    client, sqs, name = s3_client(S3Connection.of(os.environ)), boto3.client("sqs"), f"w{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    client.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=events)
    EventQueue(url).delete(EventQueue(url).receive(0))  # S3 sends a test event first
    return name, url


def put(bucket: str, folder: Path, key: str, rows: int, **changes: Any) -> None:
    pq.write_table(table_of(rows, **changes), folder / "file")
    s3_client(S3Connection.of(os.environ)).put_object(Bucket=bucket, Key=key, Body=(folder / "file").read_bytes())


def messages(url: str) -> int:
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(value) for value in attributes.values())


def watch_of(spec: ModelSpec, workspace: Workspace, queue: str) -> Watch:
    store = Store(workspace.store)
    store.create()

    def look() -> IngestResult:
        return ingest_batch(store, spec, workspace, actor="me", clock=lambda: 0.0, progress=lambda _: None)

    return Watch(look, EventQueue(queue), every_s=60, clock=lambda: 0.0, sleep=lambda _: None)


def test_two_events_for_one_object_and_a_malformed_message_make_one_version(
    source: tuple[str, str], tmp_path: Path, workspace: Workspace, ray_cluster: str
) -> None:
    bucket, queue = source
    Path(workspace.home).mkdir()
    put(bucket, tmp_path, "in/a.parquet", 20)
    event = json.loads(boto3.client("sqs").receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"][0]["Body"])
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody="{no json")
    assert (event["Records"][0]["s3"]["object"]["key"], messages(queue)) == ("in%2Fa.parquet", 3)
    watch = watch_of(spec_of(f"s3://{bucket}/in"), workspace, queue)
    result = watch.once()
    assert (result.committed, result.version.number, messages(queue)) == (True, 1, 0)
    assert (watch.once().committed, watch.once().version.number) == (False, 1)


def test_the_events_of_a_refused_batch_stay(
    source: tuple[str, str], tmp_path: Path, workspace: Workspace, ray_cluster: str
) -> None:
    bucket, queue = source
    Path(workspace.home).mkdir()
    put(bucket, tmp_path, "in/a.parquet", 10, age=[200.0] * 10)
    with pytest.raises(ValidationError):
        watch_of(spec_of(f"s3://{bucket}/in"), workspace, queue).once()
    assert messages(queue) == 1


class _Enough(Exception):
    """Ends a watch that would go on for ever."""


def looks(results: list[Callable[[], IngestResult]]) -> Callable[[], IngestResult]:
    """Gives one result after the other, then has enough."""
    coming = iter(results)

    def look() -> IngestResult:
        try:
            return next(coming)()
        except StopIteration:
            raise _Enough from None

    return look


def refused() -> IngestResult:
    raise ValidationError("too many bad rows")


def test_without_a_queue_the_clock_decides_and_a_refused_batch_ends_nothing(
    result: IngestResult, caplog: pytest.LogCaptureFixture
) -> None:
    now, told = [0.0], list[IngestResult]()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    watch = Watch(looks([lambda: result, refused, lambda: result]), None, every_s=60, clock=lambda: now[0], sleep=sleep)
    with pytest.raises(_Enough):
        watch.forever(told.append)
    assert (told, now[0]) == ([result, result], 180.0)
    assert "too many bad rows" in caplog.text


def test_an_event_wakes_it_up_and_is_deleted_after_the_look(
    source: tuple[str, str], result: IngestResult, tmp_path: Path
) -> None:
    bucket, queue = source
    put(bucket, tmp_path, "in/a.parquet", 1)
    look = looks([lambda: result, lambda: result])
    watch = Watch(look, EventQueue(queue), every_s=2, clock=iter(range(1000)).__next__, sleep=lambda _: None)
    with pytest.raises(_Enough):
        watch.forever(lambda _: None)
    assert messages(queue) == 0


def test_a_queue_that_does_not_answer_leaves_it_to_the_clock(s3: str, result: IngestResult) -> None:
    now, nowhere = [0.0], EventQueue(f"{os.environ['AWS_ENDPOINT_URL']}/123456789012/none")

    def sleep(seconds: float) -> None:
        now[0] += seconds

    watch = Watch(looks([lambda: result] * 2), nowhere, every_s=60, clock=lambda: now[0], sleep=sleep)
    with pytest.raises(_Enough):
        watch.forever(lambda _: None)
    assert now[0] == 120.0


@pytest.fixture
def result() -> IngestResult:
    from mlops_ray.data import DatasetVersion

    version = DatasetVersion("mlops.m", 1, "1", None, 1, 1, 0, None, "d", {}, (), 0.0)
    return IngestResult(version, committed=True)
