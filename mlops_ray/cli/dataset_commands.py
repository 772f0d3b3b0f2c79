"""`data ...`: the versions of a dataset, their names, their differences, and what nobody refers to any more."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from mlops_ray.cli.context import HomeOption, JsonOption, command
from mlops_ray.errors import SourceError

__all__ = ["add_to"]

DatasetArgument = Annotated[str, typer.Argument(help="churn, namespace.table or a spec file.")]
VersionArgument = Annotated[
    str,
    typer.Argument(
        help="churn@REF with latest, v3, snapshot:ID, a time (2026-11-01T00:00Z), a tag or a branch; a spec file too."
    ),
]
NameArgument = Annotated[str, typer.Argument(help="Name of the tag or branch.")]
DeleteOption = Annotated[bool, typer.Option("--delete", help="Delete the name instead; what it points to stays.")]
_DAY_S = 86_400.0


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    data = typer.Typer(help="Versions of a dataset: history, names, differences, contents.", no_args_is_help=True)
    for function in (log, show, diff, tag, branch, publish, checkout, verify, gc):
        data.command()(function)
    app.add_typer(data, name="data")


def log(dataset: DatasetArgument, *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every version, newest first, with its names; and every branch."""
    with command(home=home, as_json=as_json) as context:
        # pyiceberg: a second to import
        from mlops_ray.control.datasets import dataset_of, log_of, log_text

        content = log_of(dataset_of(dataset, context.workspace)[0])
        context.answer(content, log_text(content))


def show(version: VersionArgument, *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All that is known of one version: rows, schema, sources, digest, names."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.datasets import dataset_of, show_text, version_content

        table, ref = dataset_of(version, context.workspace)
        content = version_content(table, table.resolve(ref))
        context.answer(content, show_text(content))


def diff(a: VersionArgument, b: VersionArgument, *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Rows added and removed from A to B, changes of the schema, and the columns whose values drifted."""
    with command(home=home, as_json=as_json) as context:
        # ray and pyiceberg: seconds to import
        from mlops_ray.control.connection import connect
        from mlops_ray.control.datasets import dataset_of, diff_text, same_dataset
        from mlops_ray.data import diff_versions

        (table, ref_a), (other, ref_b) = (dataset_of(text, context.workspace) for text in (a, b))
        same_dataset(table, other)
        versions = table.resolve(ref_a), table.resolve(ref_b)
        connect(context.workspace)
        found = diff_versions(table, *versions)
        context.answer(asdict(found) | {"drifted": list(found.drift.report.drifted)}, diff_text(found))


def tag(
    version: VersionArgument,
    name: NameArgument,
    *,
    delete: DeleteOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a version a name that never moves; to use it anew, delete it first."""
    _name("tag", version, name, delete=delete, home=home, as_json=as_json)


def branch(
    version: VersionArgument,
    name: NameArgument,
    *,
    delete: DeleteOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a branch at a version, for `ingest --branch`."""
    _name("branch", version, name, delete=delete, home=home, as_json=as_json)


def publish(
    dataset: Annotated[str, typer.Argument(help="churn@BRANCH.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make what is on a branch the latest version, in one commit; refused when main has moved since it was made."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control import datasets

        table, name = datasets.dataset_of(dataset, context.workspace)
        versions = datasets.publish(context.store, table, name, actor=context.actor, now_s=context.now_s)
        content = {"dataset": table.table, "branch": name, "versions": [version.ref for version in versions]}
        text = f"published {', '.join(content['versions'])}" if versions else f"nothing on {name} that main lacks"
        context.answer(content, text)


def checkout(
    dataset: DatasetArgument,
    time: Annotated[str, typer.Argument(help="2026-11-01T00:00Z, or any other reference.")],
    *,
    output: Annotated[Path | None, typer.Option(help="New folder on this machine to write the rows to.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The version that was the latest at a time; with --output, its rows as Parquet files."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.datasets import dataset_of, show_text, version_content
        from mlops_ray.data import check_out

        table, _ = dataset_of(dataset, context.workspace)
        version = table.resolve(time)
        content = version_content(table, version)
        text = show_text(content)
        if output is not None:
            rows = check_out(table, version, output)
            content |= {"output": str(output.resolve())}
            text += f"\n{rows:,} rows written to {output}"
        context.answer(content, text)


def verify(version: VersionArgument, *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Read the data files of a version again and compare them with the digests kept when they were written."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.connection import connect
        from mlops_ray.control.datasets import dataset_of
        from mlops_ray.data import verify_version

        table, ref = dataset_of(version, context.workspace)
        resolved = table.resolve(ref)
        connect(context.workspace)
        found = verify_version(table, resolved)
        if not found.intact:
            wrong = [*(f"altered {path}" for path in found.altered), *(f"lost {path}" for path in found.lost)]
            raise SourceError(
                f"{found.ref}: {len(wrong)} of {found.files} files are not as written: {', '.join(wrong)}"
            )
        unknown = f"; {len(found.unknown)} from before digests were kept" if found.unknown else ""
        context.answer(found, f"{found.ref}: {found.files} files, {found.size_bytes:,} bytes as written{unknown}")


def gc(
    dataset: Annotated[str | None, typer.Argument(help="churn or namespace.table [default: all].")] = None,
    *,
    older_than_s: Annotated[
        float, typer.Option(min=0, help="Spare what was written since; longer than the longest ingest takes.")
    ] = _DAY_S,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what killed or refused ingests left and no snapshot refers to."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.datasets import collect_garbage, dataset_of, garbage_text

        table = dataset_of(dataset, context.workspace)[0].table if dataset is not None else None
        found = collect_garbage(
            context.store,
            context.workspace,
            table,
            older_than_s=older_than_s,
            dry_run=dry_run,
            actor=context.actor,
            now_s=context.now_s,
        )
        content = {"removed": not dry_run, "leftovers": found, "bytes": sum(f.size_bytes for f in found)}
        context.answer(content, garbage_text(found, dry_run=dry_run))


def _name(
    kind: Literal["tag", "branch"], version: str, name: str, *, delete: bool, home: Path | None, as_json: bool
) -> None:
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.datasets import dataset_of, drop_name, give_name

        table, ref = dataset_of(version, context.workspace)
        if delete:
            expected = ref if "@" in version else None
            was = drop_name(context.store, table, kind, name, expected, actor=context.actor, now_s=context.now_s)
            context.answer({kind: name, "deleted": True, "snapshot_id": was}, f"{kind} {name} deleted; it was {was}")
            return
        named = give_name(context.store, table, kind, name, ref, actor=context.actor, now_s=context.now_s)
        content = {kind: name, "dataset": named.ref, "snapshot_id": named.snapshot_id}
        context.answer(content, f"{kind} {name} is {named.ref}")
