from mlops_ray.control.memory_jobs import MemoryJobs


def test_a_job_runs_until_it_is_ended() -> None:
    jobs = MemoryJobs()
    jobs.submit("j", model="toy", trigger="t")
    assert jobs.state("j") == ("running", "")
    jobs.end("j", "failed", "no memory")
    assert jobs.state("j") == ("failed", "no memory")


def test_an_id_that_is_known_starts_nothing() -> None:
    jobs = MemoryJobs()
    jobs.submit("j", model="toy", trigger="t")
    jobs.submit("j", model="toy", trigger="t")
    assert jobs.started == ["j"]


def test_a_lost_record_is_an_unknown_job() -> None:
    jobs = MemoryJobs()
    jobs.submit("j", model="toy", trigger="t")
    jobs.lose_records()
    assert jobs.state("j") == ("unknown", "")
