"""`python -m mlops_ray.cli`, for jobs that must use the interpreter they run in."""

from mlops_ray.cli.app import main

if __name__ == "__main__":
    main()
