"""Ray Data as this package uses it: a few tasks over a list of values, quietly, results in order."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import ray
from ray.data import DataContext

from mlops_ray.errors import ClusterError

__all__ = ["each_task", "quiet", "run_tasks"]

In = TypeVar("In")
Out = TypeVar("Out")


@contextmanager
def quiet() -> Iterator[DataContext]:
    """Datasets made inside show no progress bars and keep the order of rows; the context is put back afterwards.

    Raises:
        ClusterError: this process is not connected to Ray.
    """
    if not ray.is_initialized():  # Ray Data would quietly start a cluster of its own
        raise ClusterError("expected a connection to a Ray cluster, found none; call ray.init first")
    context = DataContext.get_current()
    shown, ordered = context.enable_progress_bars, context.execution_options.preserve_order
    started = context.print_on_execution_start
    context.enable_progress_bars, context.print_on_execution_start = False, False
    context.execution_options.preserve_order = True
    try:
        yield context
    finally:
        context.enable_progress_bars, context.print_on_execution_start = shown, started
        context.execution_options.preserve_order = ordered


def each_task(function: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """`function(item)` of each item, in order, each call a Ray Data task; needs an initialised Ray.

    Results come one after the other, so that they need not all fit in this process. Items and results travel pickled,
    as opaque bytes, so that Arrow does not try to give them a schema.
    """

    def call(row: dict[str, Any]) -> dict[str, Any]:
        return {"result": pickle.dumps(function(pickle.loads(row["item"])))}

    with quiet():
        rows = [{"item": pickle.dumps(item)} for item in items]
        for row in ray.data.from_items(rows, override_num_blocks=len(rows)).map(call).iter_rows():
            yield pickle.loads(row["result"])


def run_tasks(function: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    """All results of `each_task` at once."""
    return list(each_task(function, items))
