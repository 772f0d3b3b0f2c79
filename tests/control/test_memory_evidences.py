from mlops_ray.control.memory_evidences import MemoryEvidences
from mlops_ray.monitor import Cursor
from mlops_ray.rollout import Block

BLOCK = Block(1, 9, 0, 0, 0, 0)


def test_each_block_is_given_once() -> None:
    evidences = MemoryEvidences()
    evidences.add("toy", 2, [BLOCK, BLOCK], epoch=1)
    cursor, blocks = evidences.evidence("toy", 2, Cursor())
    assert blocks == [BLOCK, BLOCK]
    assert evidences.evidence("toy", 2, cursor) == (cursor, [])


def test_blocks_of_older_routes_are_not_given() -> None:
    evidences = MemoryEvidences()
    evidences.add("toy", 2, [BLOCK], epoch=3)
    assert evidences.evidence("toy", 2, Cursor(since_epoch=4))[1] == []


def test_after_a_restart_only_what_is_new_is_given() -> None:
    evidences = MemoryEvidences()
    evidences.add("toy", 2, [BLOCK, BLOCK], epoch=1)
    cursor, _ = evidences.evidence("toy", 2, Cursor())
    evidences.restart()
    evidences.add("toy", 2, [BLOCK], epoch=1)
    assert evidences.evidence("toy", 2, cursor)[1] == [BLOCK]


def test_nobody_answers_while_it_is_away() -> None:
    evidences = MemoryEvidences()
    evidences.add("toy", 2, [BLOCK], epoch=1)
    evidences.away = True
    assert evidences.evidence("toy", 2, Cursor()) == (Cursor(), [])
