"""Events of a bucket in a queue, on moto's server."""

import os
from typing import Any

import boto3
import pytest

from mlops_ray.data.events import EventQueue
from mlops_ray.errors import SourceError


@pytest.fixture
def queue(s3: str, request: pytest.FixtureRequest) -> str:
    url: str = boto3.client("sqs").create_queue(QueueName=f"q{abs(hash(request.node.name))}")["QueueUrl"]
    return url


def send(queue: str, *bodies: str) -> None:
    for body in bodies:
        boto3.client("sqs").send_message(QueueUrl=queue, MessageBody=body)


def left(queue: str) -> int:
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(value) for value in attributes.values())


def test_all_messages_there_are_taken_at_once_and_deleted(queue: str) -> None:
    send(queue, *(f"message {i}" for i in range(25)))
    events = EventQueue(queue)
    handles = events.receive(0)
    assert (len(handles), left(queue)) == (25, 25)
    events.delete(handles)
    assert left(queue) == 0


def test_an_empty_queue_gives_nothing(queue: str) -> None:
    events = EventQueue(queue)
    assert events.receive(0) == ()
    events.delete(())


def test_a_queue_that_does_not_exist_is_named(s3: str) -> None:
    with pytest.raises(SourceError, match=r"data\.events\.queue .*/none: expected an SQS queue"):
        EventQueue(f"{os.environ['AWS_ENDPOINT_URL']}/123456789012/none").receive(0)
