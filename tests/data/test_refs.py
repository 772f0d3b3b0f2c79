"""Names for versions: one commit each, never moved in passing, whoever else commits."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_ray.data import DatasetTable, create_ref, delete_ref, publish_branch
from mlops_ray.data.refs import RefKind
from mlops_ray.errors import CommitConflictError, DataError, UnknownVersionError
from mlops_ray.spec import Workspace
from tests.data.batches import commit


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetTable:
    """Two versions, of the times 100 and 200."""
    workspace = Workspace.at(tmp_path / "home")
    commit(workspace, now_s=100)
    commit(workspace, now_s=200)
    return DatasetTable.named("mlops.churn", workspace)


def home_of(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "home")


def test_a_tag_leads_to_its_version_whatever_comes_later(dataset: DatasetTable, tmp_path: Path) -> None:
    assert create_ref(dataset, "tag", "audited", "v1").number == 1
    commit(home_of(tmp_path), now_s=300)
    assert dataset.resolve("churn@audited") == dataset.resolve("v1")
    assert dataset.resolve("latest").number == 3
    assert dataset.names() == {"audited": ("tag", dataset.resolve("v1").snapshot_id)}


@pytest.mark.parametrize("kind", ["tag", "branch"])
@pytest.mark.parametrize("ref", ["v1", "v2"])
def test_a_name_that_is_taken_is_told_and_stays_where_it_is(dataset: DatasetTable, kind: RefKind, ref: str) -> None:
    create_ref(dataset, "tag", "audited", "v1")
    with pytest.raises(CommitConflictError, match=r"has a tag 'audited' already"):
        create_ref(dataset, kind, "audited", ref)
    assert dataset.resolve("audited").number == 1


def test_a_deleted_tag_can_be_given_anew(dataset: DatasetTable) -> None:
    create_ref(dataset, "tag", "audited", "v1")
    with pytest.raises(CommitConflictError, match=r"tag 'audited' of mlops\.churn: expected snapshot"):
        delete_ref(dataset, "tag", "audited", "v2")
    delete_ref(dataset, "tag", "audited", "v1")
    create_ref(dataset, "tag", "audited", "v2")
    assert dataset.resolve("audited").number == 2


def test_what_is_not_there_or_of_the_other_kind_is_not_deleted(dataset: DatasetTable) -> None:
    create_ref(dataset, "branch", "trial", "v1")
    with pytest.raises(UnknownVersionError, match=r"no tag 'trial'; it has none"):
        delete_ref(dataset, "tag", "trial")
    with pytest.raises(UnknownVersionError, match=r"no branch 'other'; it has trial"):
        delete_ref(dataset, "branch", "other")


@pytest.mark.parametrize("name", ["v2", "main", "latest"])
def test_numbers_and_reserved_words_are_neither_given_nor_deleted(dataset: DatasetTable, name: str) -> None:
    with pytest.raises(DataError, match="expected a letter"):
        create_ref(dataset, "tag", name, "v1")
    with pytest.raises(DataError, match="expected a letter"):
        delete_ref(dataset, "branch", name)
    assert dataset.resolve("v2") == dataset.resolve("latest")


@pytest.mark.parametrize("kind", ["tag", "branch"])
def test_of_two_that_give_one_name_at_once_one_is_told(dataset: DatasetTable, kind: RefKind) -> None:
    def give(ref: str) -> str:
        try:
            return f"made at {create_ref(dataset, kind, 'mine', ref).ref}"
        except CommitConflictError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(give, ["v1", "v2"] * 4))
    made = [text for text in told if text.startswith("made at")]
    assert len(made) == 1, told
    assert made == [f"made at {dataset.resolve('mine').ref}"]
    assert all("already" in text for text in told if text not in made), told


def test_names_given_while_others_commit_are_all_there_and_no_version_is_lost(
    dataset: DatasetTable, tmp_path: Path
) -> None:
    def act(number: int) -> None:
        if number % 2:
            create_ref(dataset, "tag", f"t{number}", "v1")
        else:
            commit(home_of(tmp_path))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(8)))
    assert sorted(dataset.names()) == ["t1", "t3", "t5", "t7"]
    assert [version.number for version in dataset.versions()] == [1, 2, 3, 4, 5, 6]


def test_what_is_on_a_branch_leaves_main_alone_until_it_is_published(dataset: DatasetTable, tmp_path: Path) -> None:
    create_ref(dataset, "branch", "audit", "latest")
    first = commit(home_of(tmp_path), branch="audit", now_s=300)
    second = commit(home_of(tmp_path), branch="audit", now_s=400)
    assert dataset.resolve("latest").number == 2
    on_branch = dataset.resolve("audit")
    assert (on_branch.number, on_branch.snapshot_id, on_branch.ref) == (None, second, f"mlops.churn@snapshot:{second}")
    assert dataset.resolve(on_branch.ref) == on_branch
    published = publish_branch(dataset, "audit", now_s=1000)
    assert [(v.number, v.snapshot_id) for v in published] == [(3, first), (4, second)]
    assert dataset.resolve("latest") == dataset.resolve("audit") == published[1]
    assert publish_branch(dataset, "audit", now_s=2000) == []
    commit(home_of(tmp_path), now_s=3000)
    assert [v.number for v in dataset.versions()] == [1, 2, 3, 4, 5]


def test_a_published_version_is_of_the_time_it_was_published(dataset: DatasetTable, tmp_path: Path) -> None:
    create_ref(dataset, "branch", "audit", "latest")
    commit(home_of(tmp_path), branch="audit", now_s=300)
    publish_branch(dataset, "audit", now_s=1000)
    assert dataset.resolve("1970-01-01T00:10Z").number == 2
    assert dataset.resolve("1970-01-01T00:20Z").number == 3
    assert dataset.resolve("v3").committed_s == 1000


def test_a_branch_is_not_published_when_main_has_moved(dataset: DatasetTable, tmp_path: Path) -> None:
    create_ref(dataset, "branch", "audit", "latest")
    commit(home_of(tmp_path), branch="audit")
    commit(home_of(tmp_path))
    with pytest.raises(CommitConflictError, match=r"main has moved since branch 'audit' was made"):
        publish_branch(dataset, "audit", now_s=0)
    assert [v.number for v in dataset.versions()] == [1, 2, 3]


def test_a_branch_that_is_behind_main_has_nothing_to_publish(dataset: DatasetTable) -> None:
    create_ref(dataset, "branch", "old", "v1")
    assert publish_branch(dataset, "old", now_s=0) == []
    assert dataset.resolve("latest").number == 2


def test_only_a_branch_is_published(dataset: DatasetTable) -> None:
    create_ref(dataset, "tag", "audited", "v1")
    for name in ("audited", "other", "main"):
        with pytest.raises(UnknownVersionError, match=rf"no branch '{name}'; it has none"):
            publish_branch(dataset, name, now_s=0)


def test_of_an_ingest_and_a_publication_at_once_none_is_lost(dataset: DatasetTable, tmp_path: Path) -> None:
    create_ref(dataset, "branch", "audit", "latest")
    on_branch = commit(home_of(tmp_path), branch="audit")

    def publish() -> str:
        try:
            return publish_branch(dataset, "audit", now_s=0)[0].snapshot_id
        except CommitConflictError:
            return "told"

    with ThreadPoolExecutor(2) as pool:
        published, committed = pool.submit(publish), pool.submit(commit, home_of(tmp_path))
        ids = {v.snapshot_id for v in dataset.versions()} if published.result() and committed.result() else set()
    assert committed.result() in ids
    assert published.result() in (on_branch, "told")
    assert (on_branch in ids) == (published.result() != "told")


def test_a_deleted_branch_leaves_what_was_on_it_readable_by_its_snapshot(dataset: DatasetTable, tmp_path: Path) -> None:
    create_ref(dataset, "branch", "audit", "latest")
    snapshot_id = commit(home_of(tmp_path), branch="audit")
    assert delete_ref(dataset, "branch", "audit") == snapshot_id
    assert dataset.resolve(f"snapshot:{snapshot_id}").number is None
    with pytest.raises(UnknownVersionError, match="no version 'audit'"):
        dataset.resolve("audit")


def test_a_batch_for_a_branch_that_is_gone_is_not_committed(dataset: DatasetTable, tmp_path: Path) -> None:
    with pytest.raises(CommitConflictError, match="branch 'gone' was deleted meanwhile"):
        commit(home_of(tmp_path), branch="gone")
    assert len(dataset.versions()) == 2
