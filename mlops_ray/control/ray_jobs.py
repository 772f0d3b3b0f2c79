"""Retrainings as jobs of this Ray cluster."""

import logging
import sys

from ray.job_submission import JobStatus, JobSubmissionClient

from mlops_ray.control.retraining import JobState
from mlops_ray.spec import Workspace

__all__ = ["RayJobs"]

_log = logging.getLogger(__name__)
_STATES: dict[JobStatus, JobState] = {
    JobStatus.PENDING: "running",
    JobStatus.RUNNING: "running",
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.STOPPED: "failed",
}


class RayJobs:
    """See `Jobs`; asks the job API of the cluster's dashboard."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._client: JobSubmissionClient | None = None

    def submit(self, submission_id: str, *, model: str, trigger: str) -> None:
        """See `Jobs.submit`."""
        python = sys.executable
        command = f"{python} -m mlops_ray.cli --home {self._workspace.home} retrain {model} --trigger {trigger} --json"
        environment = {
            f"MLOPS_RAY_{k.upper()}": v for k, v in self._workspace.model_dump().items() if k != "ray_address"
        }
        try:
            self._connected().submit_job(
                entrypoint=command, submission_id=submission_id, runtime_env={"env_vars": environment}
            )
        except RuntimeError as error:
            # Submitting twice is refused by Ray: exactly what one id for one cause is for.
            if "already exists" not in str(error):
                raise
            _log.info("job %s exists already", submission_id)

    def state(self, submission_id: str) -> tuple[JobState, str]:
        """See `Jobs.state`."""
        try:
            details = self._connected().get_job_info(submission_id)
        except RuntimeError as error:
            if "does not exist" in str(error) or "404" in str(error):
                return "unknown", ""
            raise
        words = (details.message or "").strip().splitlines()
        return _STATES[details.status], words[-1] if words else ""

    def _connected(self) -> JobSubmissionClient:
        if self._client is None:
            self._client = JobSubmissionClient(self._workspace.dashboard)
        return self._client
