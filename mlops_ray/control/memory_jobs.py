"""A job API without a cluster."""

from mlops_ray.control.retraining import JobState

__all__ = ["MemoryJobs"]


class MemoryJobs:
    """See `Jobs`; a job runs until `end` says what became of it."""

    def __init__(self) -> None:
        self.started: list[str] = []
        """Submission ids of jobs that began to run, in order."""
        self._states: dict[str, tuple[JobState, str]] = {}

    def submit(self, submission_id: str, *, model: str, trigger: str) -> None:  # noqa: ARG002 - nothing is trained
        """See `Jobs.submit`."""
        if submission_id not in self._states:
            self.started.append(submission_id)
            self._states[submission_id] = "running", ""

    def state(self, submission_id: str) -> tuple[JobState, str]:
        """See `Jobs.state`."""
        return self._states.get(submission_id, ("unknown", ""))

    def end(self, submission_id: str, state: JobState, words: str = "") -> None:
        """Let a job end."""
        self._states[submission_id] = state, words

    def lose_records(self) -> None:
        """Know no job any more, as after a restart of the cluster's head."""
        self._states.clear()
