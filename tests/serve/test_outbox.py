import asyncio
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from mlops_ray.errors import RequestError
from mlops_ray.serve import Versions
from mlops_ray.serve.handover import Handover
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.model_app import Label
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.recorder import Served
from tests.serve.samples import Register, lightgbm_model, python_model, run


@dataclass
class Mailbox:
    """Refuses the first `failures` deliveries; every other refusal comes after the batch was kept."""

    failures: int = 0
    kept: dict[str, Handover] = field(default_factory=dict)
    labels: dict[str, list[Label]] = field(default_factory=dict)

    async def receive(self, handover: Handover) -> None:
        await asyncio.sleep(0)
        if self.failures % 2 == 0:
            self.kept.setdefault(handover.name, handover)
        self._fail()

    async def keep_labels(self, name: str, labels: list[Label]) -> None:
        self._fail()
        self.labels[name] = labels

    def request_ids(self) -> list[str]:
        return [i for h in self.kept.values() for i in h.records["request_id"].to_pylist()]

    def _fail(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise ConnectionError("the drift actor is restarting")


@pytest.fixture
def champion(versions: Versions, register: Register) -> LoadedModel:
    return versions.load(register(lightgbm_model(5)))


def one(champion: LoadedModel, number: int) -> Served:
    return Served(
        request_id=str(number),
        unit="u",
        time_s=float(number),
        version=1,
        role="champion",
        assigned="champion",
        canary=0,
        epoch=1,
        status=200,
        error=None,
        latency_ms=1.0,
        matrix=np.ones((1, 4)),
        scores=np.ones(1),
        encoded_by=champion,
    )


@pytest.mark.parametrize("failures", [0, 1, 2, 5])
def test_nothing_is_lost_and_nothing_comes_twice_however_often_delivery_fails(
    champion: LoadedModel, failures: int
) -> None:
    mailbox = Mailbox(failures)
    outbox = Outbox(mailbox, replica="r", flush_s=1)

    async def scenario() -> None:
        for number in range(20):
            outbox.recorder.add(one(champion, number))
            if number % 3 == 0:
                await asyncio.gather(outbox.flush(), return_exceptions=True)
        await outbox.flush()

    run(scenario())
    assert sorted(map(int, mailbox.request_ids())) == list(range(20))


def test_what_cannot_be_delivered_stays_bounded(champion: LoadedModel) -> None:
    mailbox = Mailbox(10**9)
    outbox = Outbox(mailbox, replica="r", flush_s=1)
    outbox.recorder = type(outbox.recorder)("r", capacity_rows=10)

    async def scenario() -> None:
        for number in range(50):
            outbox.recorder.add(one(champion, number))
            await asyncio.gather(outbox.flush(), return_exceptions=True)
        mailbox.failures = 0
        await outbox.flush()

    run(scenario())
    assert len(mailbox.request_ids()) == len(set(mailbox.request_ids())) == 11
    assert outbox.recorder.dropped_rows == 39


def test_what_the_canary_answered_is_handed_over_with_the_champions_scores(champion: LoadedModel) -> None:
    mailbox = Mailbox()
    outbox = Outbox(mailbox, replica="r", flush_s=1)
    canarys = msgspec.structs.replace(one(champion, 1), role="canary", assigned="canary", to_pair=True)
    outbox.recorder.add(canarys)
    outbox.recorder.add(one(champion, 2))
    run(outbox.flush())
    (handover,) = mailbox.kept.values()
    expected = float(champion.predict_now(np.ones((1, 4)))[0])
    assert handover.records["paired_score"].to_pylist() == [expected, None]


@pytest.mark.parametrize("turns", range(12))
def test_a_hand_over_that_is_interrupted_anywhere_loses_nothing(
    versions: Versions, register: Register, turns: int
) -> None:
    champion = versions.load(register(python_model("Half")))  # predicts on a thread
    mailbox = Mailbox()
    outbox = Outbox(mailbox, replica="r", flush_s=1)
    for number in range(100):
        outbox.recorder.add(msgspec.structs.replace(one(champion, number), role="canary", to_pair=True))

    async def scenario() -> None:
        flush = asyncio.create_task(outbox.flush())
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        flush.cancel()
        await asyncio.gather(flush, return_exceptions=True)
        await outbox.flush()

    run(scenario())
    assert sorted(map(int, mailbox.request_ids())) == list(range(100))


def test_records_are_handed_over_by_themselves(champion: LoadedModel) -> None:
    mailbox = Mailbox(1)
    outbox = Outbox(mailbox, replica="r", flush_s=0.01)

    async def scenario() -> None:
        outbox.start()
        outbox.recorder.add(one(champion, 1))
        for _ in range(500):
            if mailbox.kept and not mailbox.failures:
                return
            await asyncio.sleep(0.01)

    run(scenario())
    assert mailbox.request_ids() == ["1"]


def test_labels_are_kept_under_a_name_of_their_own() -> None:
    mailbox = Mailbox()
    outbox = Outbox(mailbox, replica="r", flush_s=1)
    first, second = [Label("a", 1.0)], [Label("b", 0.0)]

    async def scenario() -> None:
        await outbox.keep_labels(first)
        await outbox.keep_labels(second)

    run(scenario())
    assert list(mailbox.labels.values()) == [first, second]


def test_labels_that_cannot_be_kept_are_refused_so_that_the_client_sends_them_again() -> None:
    outbox = Outbox(Mailbox(1), replica="r", flush_s=1)
    with pytest.raises(RequestError, match="send them again") as caught:
        run(outbox.keep_labels([Label("a", 1.0)]))
    assert caught.value.status == 503


def test_what_was_recorded_last_is_handed_over_when_the_replica_ends(champion: LoadedModel) -> None:
    mailbox = Mailbox()
    outbox = Outbox(mailbox, replica="r", flush_s=60)

    async def scenario() -> None:
        outbox.start()
        outbox.recorder.add(one(champion, 1))
        await outbox.close()

    run(scenario())
    assert mailbox.request_ids() == ["1"]
