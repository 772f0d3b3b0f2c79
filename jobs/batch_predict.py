"""ray job submit --address http://127.0.0.1:8265 --working-dir . -- \\
python jobs/batch_predict.py --spec churn.yaml --input s3://bucket/customers --output s3://bucket/scores"""

from mlops_ray.cli.job_entry import run_job

if __name__ == "__main__":
    run_job("predict", by_name=True)
