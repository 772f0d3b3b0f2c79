"""Benchmarks that need CUDA devices; each says so and ends where there is none.

`python -m benchmarks.gpu.images --json --output FILE` measures training from pictures and from tables, and how it
scales over the GPUs of the machine, in a few minutes.
"""
