"""A queue of an S3 bucket's events, which says that it is worth to look, and nothing else."""

import math
import os
import re
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from mlops_ray.errors import SourceError
from mlops_ray.lake import S3Connection

__all__ = ["EventQueue"]

_LONGEST_WAIT_S = 20  # SQS allows no longer
_BATCH = 10  # nor more messages at once
_MOST = 1_000  # messages taken for one look; what is left wakes the next
_REGION = re.compile(r"//sqs\.([a-z0-9-]+)\.")


@dataclass(frozen=True)
class EventQueue:
    """An SQS queue. What its messages say is not read: they may be twice, out of order, or no events at all."""

    url: str
    _clients: list[Any] = field(default_factory=list, repr=False, compare=False)

    def receive(self, wait_s: float) -> tuple[str, ...]:
        """Handles of the messages that are there, after waiting up to `wait_s` for a first one.

        Raises:
            SourceError: the queue cannot be reached, or does not exist.
        """
        found: dict[str, None] = {}
        wait = max(0, min(_LONGEST_WAIT_S, math.ceil(wait_s)))
        while len(found) < _MOST:
            more = self._call("receive_message", MaxNumberOfMessages=_BATCH, WaitTimeSeconds=wait).get("Messages", [])
            if not more:
                break
            found |= {message["ReceiptHandle"]: None for message in more}
            wait = 0
        return tuple(found)

    def delete(self, handles: tuple[str, ...]) -> None:
        """Take messages out for good, once what they told of is committed; else they come back by themselves.

        Raises:
            SourceError: the queue cannot be reached.
        """
        for start in range(0, len(handles), _BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle}
                for number, handle in enumerate(handles[start : start + _BATCH])
            ]
            self._call("delete_message_batch", Entries=entries)

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client(), operation)(QueueUrl=self.url, **arguments)
        except (ClientError, BotoCoreError) as error:
            raise SourceError(f"data.events.queue {self.url}: expected an SQS queue that answers: {error}") from None
        return answer

    def _client(self) -> Any:
        if not self._clients:
            region = _REGION.search(self.url)  # of AWS; a server of one's own is named by AWS_ENDPOINT_URL
            self._clients.append(
                boto3.client("sqs", region_name=region[1] if region else S3Connection.of(os.environ).region)
            )
        return self._clients[0]
