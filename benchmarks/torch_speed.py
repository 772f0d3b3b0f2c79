"""Samples a second of one network over a table: this engine's trainer in a sweep, and a bare PyTorch loop."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import torch
from torch import nn

from benchmarks.sweep_contestants import engine_sweep
from benchmarks.sweep_data import COLUMNS, spec_of, training_data
from benchmarks.sweep_trials import EPOCH_END
from mlops_ray.evaluation import score
from mlops_ray.spec import Workspace
from mlops_ray.train.training_data import Part

__all__ = ["bare_samples_per_s", "engine_samples_per_s", "epochs_per_s"]

_TRAINER = "benchmarks.sweep_trials:timed_torch"
_HIDDEN, _LAYERS, _DROPOUT = 64, 2, 0.1
_BATCH = 1024


def engine_samples_per_s(train: Part, valid: Part, folder: Path, *, epochs: int, cpus: int, gpus: int = 0) -> float:
    """From the ends of the epochs of a trial; the first one counts as start-up."""
    spec = spec_of(
        _TRAINER,
        cpus=cpus,
        resources={"cpus": cpus, "gpus": gpus},
        trials=1,
        scheduler="none",
        max_iterations=epochs,
        space={"hidden": _HIDDEN, "layers": _LAYERS, "dropout": _DROPOUT, "batch_size": _BATCH, "patience": epochs},
    )
    engine_sweep(spec, training_data(train, valid), folder)
    ends = [point.value for point in _points(folder, EPOCH_END)]
    return len(train.y) * (len(ends) - 1) / (max(ends) - min(ends))


def epochs_per_s(folder: Path, metric: str, epochs: int) -> float:
    """Of the only trial of the sweep in `folder`, from the end of its first epoch on, by the times of its reports."""
    points = sorted(_points(folder, f"validation_{metric}"), key=lambda point: point.step)
    times = [point.timestamp / 1000 for point in points if point.step <= epochs]
    return (len(times) - 1) / (times[-1] - times[0])


def _points(folder: Path, name: str) -> list[Any]:
    client = mlflow.MlflowClient(Workspace.at(folder).tracking)
    experiment = client.search_experiments(filter_string="name = 'bench'")[0].experiment_id
    [trial] = client.search_runs([experiment], "tags.`mlflow.parentRunId` != ''")
    return list(client.get_metric_history(trial.info.run_id, name))


def bare_samples_per_s(train: Part, valid: Part, *, epochs: int, cpus: int, device: str = "cpu") -> float:
    """The same layers, optimiser, batches and validation after each epoch, written down as in a PyTorch tutorial."""
    torch.manual_seed(0)
    torch.set_num_threads(cpus)
    mean, std = torch.from_numpy(train.x.mean(axis=0)), torch.from_numpy(train.x.std(axis=0))
    rows = ((torch.from_numpy(train.x) - mean) / std).float().to(device)
    watched = ((torch.from_numpy(valid.x) - mean) / std).float().to(device)
    labels = torch.from_numpy(train.y).float().to(device)
    net = _net().to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-4)
    loss = nn.BCEWithLogitsLoss()
    ends: list[float] = []
    for _ in range(epochs):
        net.train()
        for batch in torch.randperm(len(rows)).to(device).split(_BATCH):
            optimizer.zero_grad()
            loss(net(rows[batch]).squeeze(1), labels[batch]).backward()
            optimizer.step()
        net.eval()
        with torch.inference_mode():
            score("auc", valid.y, torch.sigmoid(net(watched).squeeze(1)).double().cpu().numpy())
        ends.append(time.perf_counter())
    return len(train.y) * (epochs - 1) / (ends[-1] - ends[0])


def _net() -> nn.Sequential:
    widths = [COLUMNS, *[_HIDDEN] * _LAYERS]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(_DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))
