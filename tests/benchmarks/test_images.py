import numpy as np
import pytest
import torch

from benchmarks.gpu.images import main as on_gpus
from benchmarks.gpu.images import worker_counts
from benchmarks.image_contestants import Contest, dataloader_samples_per_s, in_memory_samples_per_s
from benchmarks.image_data import CLASSES, picture_part, picture_signature
from benchmarks.images import image_ratios, parse


def test_what_is_promised_is_compared_with_the_best_loader() -> None:
    row = {"engine": 90.0, "streamed": 60.0, "in_memory": 120.0, "dataloader": {"0": 50.0, "2": 100.0}}
    assert image_ratios(row) == {
        "engine_over_dataloader_samples_per_s": 0.9,
        "streamed_over_dataloader_samples_per_s": 0.6,
        "engine_over_in_memory_samples_per_s": 0.75,
    }


def test_a_few_minutes_are_the_default() -> None:
    assert parse([]).rounds * parse([]).epochs * parse([]).rows < 100_000


def test_the_same_seed_makes_the_same_pictures_of_every_class() -> None:
    one, other = (picture_part(40, size=16, seed=3) for _ in range(2))
    assert one.pictures == other.pictures
    assert one.y.tolist() == other.y.tolist()
    assert set(picture_part(400, size=16, seed=3).y) == set(range(len(CLASSES)))
    [rows] = list(one.chunks(picture_signature(16)))
    assert rows.shape == (40, 16 * 16 * 3)
    assert 100 < np.mean(rows) < 156


def test_the_bare_loops_run() -> None:
    contest = Contest(
        picture_part(64, size=16, seed=1), picture_part(32, size=16, seed=2), size=16, epochs=2, cpus=1,
        width=8, batch_size=32,
    )  # fmt: skip
    assert in_memory_samples_per_s(contest) > 0
    assert dataloader_samples_per_s(contest, loaders=0) > 0


def test_as_many_workers_as_there_are_gpus_in_powers_of_two() -> None:
    assert [worker_counts(gpus) for gpus in (1, 2, 6, 8)] == [[], [2], [2, 4], [2, 4, 8]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_benchmark_says_so() -> None:
    with pytest.raises(SystemExit, match=r"needs a CUDA device, and torch .* finds none here"):
        on_gpus([])
