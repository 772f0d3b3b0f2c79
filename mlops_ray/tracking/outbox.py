"""What MLflow is still to be told, in an append-only file: neither an outage nor a killed driver loses any of it.

    outbox.jsonl    one JSON entry a line, never changed
    sent.json       how many bytes of it MLflow has, and which run belongs to which trial

The file is at the same time the journal of a sweep: whoever resumes it reads there how far it came.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Outbox"]

_ENTRIES = "outbox.jsonl"
_SENT = "sent.json"


class Outbox:
    """The outbox in `folder`, which is made when it is not there; one process appends, one thread of it sends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / _ENTRIES
        self._sent_file = folder / _SENT
        self._grown = threading.Condition()
        self._size = _whole_lines(self.file)
        # a line that a killed process left half written says nothing
        with self.file.open("ab") as file:
            file.truncate(self._size)
        sent = json.loads(self._sent_file.read_text(encoding="utf-8")) if self._sent_file.exists() else {}
        self.sent_bytes: int = sent.get("bytes", 0)
        self.runs: dict[str, str] = sent.get("runs", {})  # trial -> run id

    def append(self, entry: Mapping[str, Any]) -> None:
        """Keep `entry`; it outlives this process when this returns. NaN and infinities are kept as they are."""
        line = json.dumps(entry, default=_plain).encode() + b"\n"
        with self._grown, self.file.open("ab", buffering=0) as output:
            output.write(line)
            self._size += len(line)
            self._grown.notify_all()

    def entries(self) -> list[dict[str, Any]]:
        """Everything from the beginning."""
        return [json.loads(line) for line in self.file.read_bytes()[: self._size].splitlines()]

    def unsent(self, limit: int) -> tuple[list[dict[str, Any]], int]:
        """The first `limit` entries that are not sent yet, and the place behind them, for `mark_sent`."""
        with self.file.open("rb") as file:
            file.seek(self.sent_bytes)
            lines = file.read(self._size - self.sent_bytes).splitlines(keepends=True)[:limit]
        return [json.loads(line) for line in lines], self.sent_bytes + sum(map(len, lines))

    def mark_sent(self, place: int) -> None:
        """MLflow has everything before `place`, and the runs in `runs` are known."""
        content = json.dumps({"bytes": place, "runs": self.runs})
        fresh = self._sent_file.with_suffix(".new")
        fresh.write_text(content, encoding="utf-8")
        fresh.replace(self._sent_file)
        with self._grown:
            self.sent_bytes = place
            self._grown.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to send; whether there is."""
        with self._grown:
            return self._grown.wait_for(lambda: self._size > self.sent_bytes, timeout_s)

    def wait_until_sent(self, timeout_s: float) -> bool:
        """Wait until everything is sent; whether it is."""
        with self._grown:
            return self._grown.wait_for(lambda: self._size <= self.sent_bytes, timeout_s)


def _plain(value: Any) -> Any:
    """A hyperparameter that is a number of numpy's, as JSON knows it."""
    return value.item() if hasattr(value, "item") else str(value)


def _whole_lines(file: Path) -> int:
    """Bytes up to the last line's end."""
    return file.read_bytes().rfind(b"\n") + 1 if file.exists() else 0
