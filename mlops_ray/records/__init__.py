"""The record of served requests and their outcomes, as Parquet in the lake; knows nothing of Ray."""

from mlops_ray.records.newest import newest_labels
from mlops_ray.records.record_log import RecordLog
from mlops_ray.records.sampled import sampled
from mlops_ray.records.schema import LABELS, not_kept, served_schema

__all__ = ["LABELS", "RecordLog", "newest_labels", "not_kept", "sampled", "served_schema"]
