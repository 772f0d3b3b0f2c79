"""Versioned data: raw Parquet in, every row checked, immutable versions of an Iceberg table out."""

from mlops_ray.data.ingest import IngestResult, ingest
from mlops_ray.data.read import load_version, read_version
from mlops_ray.data.report import ValidationReport, read_report, report_files
from mlops_ray.data.source import SourceObject
from mlops_ray.data.table import DatasetTable
from mlops_ray.data.version import DatasetVersion

__all__ = [
    "DatasetTable",
    "DatasetVersion",
    "IngestResult",
    "SourceObject",
    "ValidationReport",
    "ingest",
    "load_version",
    "read_report",
    "read_version",
    "report_files",
]
