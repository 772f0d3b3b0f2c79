"""Versioned data: raw files and rows in, every row checked, immutable versions of an Iceberg table out."""

from mlops_ray.data.catalog import open_catalog
from mlops_ray.data.checkout import check_out
from mlops_ray.data.diff import VersionDiff, diff_versions
from mlops_ray.data.garbage import Leftover, find_leftovers, remove_leftovers
from mlops_ray.data.ingest import IngestResult, ingest
from mlops_ray.data.read import load_version, read_version
from mlops_ray.data.refs import RefKind, create_ref, delete_ref, publish_branch
from mlops_ray.data.report import ValidationReport, read_report, report_files
from mlops_ray.data.source import SourceObject
from mlops_ray.data.table import DatasetTable
from mlops_ray.data.verify import Verification, verify_version
from mlops_ray.data.version import DatasetVersion, parse_time, split_reference

__all__ = [
    "DatasetTable",
    "DatasetVersion",
    "IngestResult",
    "Leftover",
    "RefKind",
    "SourceObject",
    "ValidationReport",
    "Verification",
    "VersionDiff",
    "check_out",
    "create_ref",
    "delete_ref",
    "diff_versions",
    "find_leftovers",
    "ingest",
    "load_version",
    "open_catalog",
    "parse_time",
    "publish_branch",
    "read_report",
    "read_version",
    "remove_leftovers",
    "report_files",
    "split_reference",
    "verify_version",
]
