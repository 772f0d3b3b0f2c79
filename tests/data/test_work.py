"""Dealing files out to tasks."""

from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.data.source import SourceObject
from mlops_ray.data.work import Part, plan_work


def files(*sizes: int) -> list[SourceObject]:
    return [SourceObject(f"file:///{i:03}.parquet", None, "e", size, "") for i, size in enumerate(sizes)]


def test_small_files_share_a_task() -> None:
    works = plan_work(files(10, 10, 10), group_bytes=25, part_bytes=100)
    assert [len(work.parts) for work in works] == [2, 1]


def test_a_large_file_is_split() -> None:
    (small, large, last) = files(10, 250, 10)
    works = plan_work([small, large, last], group_bytes=100, part_bytes=100)
    assert [work.parts for work in works] == [
        (Part(small, 0, 1),),
        (Part(large, 0, 3),),
        (Part(large, 1, 3),),
        (Part(large, 2, 3),),
        (Part(last, 0, 1),),
    ]


def test_a_file_that_may_be_known_already_stays_whole() -> None:
    (large,) = files(250)
    assert plan_work([large], whole={large.uri}, part_bytes=100)[0].parts == (Part(large, 0, 1),)


@given(st.integers(0, 50), st.integers(1, 9))
def test_parts_cover_every_row_group_once(total: int, count: int) -> None:
    (source,) = files(1)
    groups = [group for index in range(count) for group in Part(source, index, count).row_groups(total)]
    assert groups == list(range(total))


@given(st.lists(st.integers(0, 300), max_size=20))
def test_every_file_is_read_once_and_in_order(sizes: list[int]) -> None:
    sources = files(*sizes)
    works = plan_work(sources, group_bytes=100, part_bytes=100)
    assert [work.index for work in works] == list(range(len(works)))
    assert [part.source for work in works for part in work.parts if part.index == 0] == sources
