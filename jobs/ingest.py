"""ray job submit --address http://127.0.0.1:8265 --working-dir . -- python jobs/ingest.py --spec churn.yaml"""

from mlops_ray.cli.job_entry import run_job

if __name__ == "__main__":
    run_job("ingest")
