"""Runs a command on another cluster, as a Ray job with this folder as its working directory."""

import shlex
import sys
import time
from collections.abc import Sequence

from mlops_ray.cli.context import Context
from mlops_ray.errors import ClusterError

__all__ = ["run_remotely"]

_POLL_S = 1.0


def run_remotely(context: Context, address: str, arguments: Sequence[str]) -> None:
    """Submit `mlops-ray <arguments>` to the cluster at `address`, show its log, and answer like the job did.

    Raises:
        ClusterError: nobody answers at `address`, or the job failed.
    """
    # ray: seconds to import
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        client = JobSubmissionClient(address)
        entrypoint = shlex.join(["python", "-m", "mlops_ray.cli", *arguments, "--json"])
        job = client.submit_job(entrypoint=entrypoint, runtime_env={"working_dir": "."})
    except (ConnectionError, RuntimeError) as error:
        raise ClusterError(f"no Ray job API answers at {address}: {str(error).splitlines()[0]}") from error
    context.progress(f"job {job}")
    shown = 0
    while True:
        status = client.get_job_status(job)
        log = client.get_job_logs(job)
        print(log[shown:], end="", file=sys.stderr, flush=True)
        shown = len(log)
        if status.is_terminal():
            break
        time.sleep(_POLL_S)
    if status is not JobStatus.SUCCEEDED:
        raise ClusterError(f"job {job} ended {status}; its log is above")
    context.answer({"job": job, "status": str(status)}, f"job {job} succeeded")
