"""What a person may ask of a dataset's versions: names, publication, differences, and what nobody needs any more."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_ray.control.operations import tell_of_versions
from mlops_ray.data import (
    DatasetTable,
    DatasetVersion,
    Leftover,
    RefKind,
    VersionDiff,
    create_ref,
    delete_ref,
    find_leftovers,
    open_catalog,
    publish_branch,
    remove_leftovers,
    split_reference,
)
from mlops_ray.errors import UnknownVersionError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace, load_spec
from mlops_ray.store import Event, Store

__all__ = [
    "collect_garbage",
    "dataset_of",
    "diff_text",
    "drop_name",
    "garbage_text",
    "give_name",
    "log_of",
    "log_text",
    "publish",
    "same_dataset",
    "show_text",
    "version_content",
]

_SPEC_SUFFIXES = (".yaml", ".yml", ".json")


def dataset_of(text: str, workspace: Workspace) -> tuple[DatasetTable, str]:
    """Dataset and reference of `churn`, `churn@v3`, `shop.orders@audit`, `churn.yaml` or `churn.yaml@v3`.

    Raises:
        UnknownVersionError: it can be none of these.
        SpecError: it names a spec file that cannot be used.
    """
    path, _, ref = text.rpartition("@") if text.partition("@")[1] and not Path(text).is_file() else (text, "", "")
    if path.endswith(_SPEC_SUFFIXES):
        return DatasetTable.of(load_spec(Path(path)), workspace), ref or "latest"
    table, ref = split_reference(text)
    return DatasetTable.named(table, workspace), ref


def same_dataset(a: DatasetTable, b: DatasetTable) -> None:
    """Refuse to compare two datasets.

    Raises:
        UnknownVersionError: they are not one.
    """
    if a != b:
        raise UnknownVersionError(f"diff: expected two versions of one dataset, found {a.table} and {b.table}")


def log_of(dataset: DatasetTable) -> dict[str, Any]:
    """JSON values: every version, newest first, and every branch with what it points to.

    Raises:
        UnknownVersionError: there is no version.
    """
    dataset.resolve("latest")
    names = dataset.names()
    versions = [_version_line(version, names) for version in reversed(dataset.versions())]
    branches = {name: dataset.resolve(name) for name, (kind, _) in names.items() if kind == "branch"}
    return {
        "dataset": dataset.table,
        "versions": versions,
        "branches": {name: _version_line(version, names) for name, version in branches.items()},
    }


def log_text(content: Mapping[str, Any]) -> str:
    """The same, one line a version."""
    branches = [f"branch {name}: {_line(version)}" for name, version in content["branches"].items()]
    return "\n".join([*(_line(version) for version in content["versions"]), *branches])


def version_content(dataset: DatasetTable, version: DatasetVersion) -> dict[str, Any]:
    """JSON values: all that is known of a version."""
    return version.to_json() | {"names": _names_of(version, dataset.names())}


def show_text(content: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"{content['ref']}: {content['rows']:,} rows, {content['added_rows']:,} of them added by it, "
        f"{content['quarantined_rows']:,} quarantined",
        f"committed {_iso(content['committed_s'])}, snapshot {content['snapshot_id']}",
        f"digest {content['digest']}",
        f"names: {', '.join(content['names']) or 'none'}",
        *(f"column {name}: {kind}" for name, kind in content["schema"].items()),
        *(f"source {s['uri']} ({s['size_bytes']:,} bytes, sha256 {s['sha256'][:16]})" for s in content["sources"]),
    ]
    return "\n".join(lines)


def diff_text(diff: VersionDiff) -> str:
    """A diff for people; the last line names the drifted columns."""
    how = "" if diff.exact else " (neither comes from the other: told by the data files that differ)"
    schema = [
        *(f"column {name} {kind}: only in {diff.b}" for name, kind in diff.columns_added.items()),
        *(f"column {name} {kind}: only in {diff.a}" for name, kind in diff.columns_removed.items()),
        *(f"column {name}: {old} in {diff.a}, {new} in {diff.b}" for name, (old, new) in diff.columns_changed.items()),
    ]
    which = "added rows" if diff.compared == "added" else "all rows"
    return "\n".join(
        [
            f"{diff.a}: {diff.rows_a:,} rows; {diff.b}: {diff.rows_b:,} rows",
            f"{diff.added_rows:,} rows added, {diff.removed_rows:,} removed{how}",
            *(schema or ["the same columns"]),
            *(f"column {name} not compared: {reason}" for name, reason in diff.drift.left_out.items()),
            f"drift ({which} of {diff.b} against {diff.a}): {diff.drift.report.message}",
        ]
    )


def give_name(
    store: Store, dataset: DatasetTable, kind: RefKind, name: str, ref: str, *, actor: str, now_s: float
) -> DatasetVersion:
    """Make a tag or a branch at a version, with its event; raises as `create_ref`, and then nothing is changed."""
    version = dataset.resolve(ref)
    payload = {"kind": kind, "name": name, "version": version.ref, "snapshot_id": version.snapshot_id}
    with store.change(Event(f"dataset.{kind}_created", f"{dataset.table}@{name}", payload, actor, now_s)):
        create_ref(dataset, kind, name, f"snapshot:{version.snapshot_id}")
    return version


def drop_name(
    store: Store, dataset: DatasetTable, kind: RefKind, name: str, ref: str | None, *, actor: str, now_s: float
) -> str:
    """Delete a tag or a branch, with its event; returns the id of the snapshot it pointed to. As `delete_ref`."""
    payload = {"kind": kind, "name": name, "snapshot_id": dataset.names().get(name, ("", ""))[1]}
    with store.change(Event(f"dataset.{kind}_deleted", f"{dataset.table}@{name}", payload, actor, now_s)):
        pinned = f"snapshot:{payload['snapshot_id']}" if ref is None and payload["snapshot_id"] else ref
        return delete_ref(dataset, kind, name, pinned)


def publish(store: Store, dataset: DatasetTable, branch: str, *, actor: str, now_s: float) -> list[DatasetVersion]:
    """Move main to a branch, with one event for it and one for each new version; as `publish_branch`."""
    versions = publish_branch(dataset, branch, now_s=now_s)
    if versions:
        payload = {"branch": branch, "versions": [version.ref for version in versions]}
        with store.change(Event("dataset.published", f"{dataset.table}@{branch}", payload, actor, now_s)):
            pass
    tell_of_versions(store, dataset, actor=actor, now_s=now_s)
    return versions


def collect_garbage(
    store: Store,
    workspace: Workspace,
    table: str | None,
    *,
    older_than_s: float,
    dry_run: bool,
    actor: str,
    now_s: float,
) -> list[Leftover]:
    """Remove what no snapshot of the lake refers to, with one event; with `dry_run` only say what that is.

    Raises:
        DataError: the catalog cannot be read; nothing is removed then.
    """
    lake = Lake(workspace.lake)
    catalog = open_catalog(workspace.catalog, lake)
    found = find_leftovers(catalog, lake, older_than_s=older_than_s, now_s=now_s, table=table)
    if found and not dry_run:
        sizes = {"files": sum(f.files for f in found), "bytes": sum(f.size_bytes for f in found)}
        payload = sizes | {"older_than_s": older_than_s, "paths": [leftover.path for leftover in found]}
        with store.change(Event("dataset.collected", table or workspace.lake, payload, actor, now_s)):
            remove_leftovers(lake, found)
    return found


def garbage_text(found: Sequence[Leftover], *, dry_run: bool) -> str:
    """What was removed, or would be."""
    lines = [f"{item.kind:10} {item.path} ({item.files} files, {item.size_bytes:,} bytes)" for item in found]
    total = f"{sum(f.files for f in found)} files, {sum(f.size_bytes for f in found):,} bytes"
    end = "would be removed (--dry-run)" if dry_run else "removed"
    return "\n".join([*lines, f"{total} {end}" if found else "nothing to remove"])


def _version_line(version: DatasetVersion, names: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    fields = ("number", "snapshot_id", "committed_s", "rows", "added_rows", "quarantined_rows", "digest")
    return {
        "ref": version.ref,
        **{name: value for name, value in asdict(version).items() if name in fields},
        "names": _names_of(version, names),
    }


def _line(version: Mapping[str, Any]) -> str:
    names = f"  [{', '.join(version['names'])}]" if version["names"] else ""
    return (
        f"{version['ref']}  {_iso(version['committed_s'])}  {version['rows']:,} rows  +{version['added_rows']:,}  "
        f"{version['quarantined_rows']:,} quarantined  {version['digest'][:12]}{names}"
    )


def _names_of(version: DatasetVersion, names: Mapping[str, tuple[str, str]]) -> list[str]:
    return [f"{kind} {name}" for name, (kind, snapshot_id) in names.items() if snapshot_id == version.snapshot_id]


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
