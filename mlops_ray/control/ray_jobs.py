"""Retrainings as jobs of this Ray cluster."""

import logging
import shlex
import sys

from ray.job_submission import JobStatus, JobSubmissionClient

from mlops_ray.control.retraining import JobState
from mlops_ray.spec import Workspace

__all__ = ["DRIVER", "RayJobs"]

_log = logging.getLogger(__name__)
DRIVER = "driver-"
"""Before the id that Ray gives a driver: a retraining in a process that a person started."""
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
        home = self._workspace.home
        command = shlex.join(
            [*(sys.executable, "-m", "mlops_ray.cli", "retrain", model), "--trigger", trigger, "--home", home, "--json"]
        )
        # Only the home: what is saved there or set on the nodes says the rest, passwords too, which a job would show.
        environment = {"MLOPS_RAY_HOME": home}
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
        """See `Jobs.state`; a driver that is not running is unknown, as only the driver itself can say how it ended."""
        if submission_id.startswith(DRIVER):
            return self._driver_state(submission_id.removeprefix(DRIVER)), ""
        try:
            details = self._connected().get_job_info(submission_id)
        except RuntimeError as error:
            if "does not exist" in str(error) or "404" in str(error):
                return "unknown", ""
            raise
        state = _STATES[details.status]
        return state, self._cause(submission_id) if state == "failed" else ""

    def _driver_state(self, job_id: str) -> JobState:
        jobs = self._connected().list_jobs()
        return "running" if any(j.job_id == job_id and j.status == JobStatus.RUNNING for j in jobs) else "unknown"

    def _cause(self, submission_id: str) -> str:
        """The error line a failed job ended with, else the last line it wrote."""
        lines = [line for line in self._connected().get_job_logs(submission_id).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or ["it wrote nothing"])[-1]

    def _connected(self) -> JobSubmissionClient:
        if self._client is None:
            self._client = JobSubmissionClient(self._workspace.dashboard)
        return self._client
