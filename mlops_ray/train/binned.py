"""LightGBM's binned form of the data, made once per node and sweep, and shared by all its trials.

The first trial on a node that needs a binning makes it and leaves it in a file; the others load the file, a twentieth
of the work, and a process that runs several trials keeps what it has loaded. Each distinct set of parameters that
change the bins has a binning of its own.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lightgbm

__all__ = ["Datasets", "binning_key", "forget_binnings", "shared_datasets"]

Datasets = tuple[lightgbm.Dataset, lightgbm.Dataset]  # training, validation

# what LightGBM reads while it bins; everything else is free to differ between trials
_BINNING = frozenset(
    (
        "bin_construct_sample_cnt",
        "categorical_feature",
        "data_random_seed",
        "device_type",
        "enable_bundle",
        "feature_pre_filter",
        "forcedbins_filename",
        "is_enable_sparse",
        "linear_tree",
        "max_bin",
        "max_bin_by_feature",
        "min_data_in_bin",
        "pre_partition",
        "precise_float_parser",
        "seed",  # data_random_seed follows from it
        "two_round",
        "use_missing",
        "zero_as_missing",
    )
)
_KEPT = 2  # binnings a process keeps loaded
_IN_USE = "in-use"
_loaded: OrderedDict[tuple[str, str], Datasets] = OrderedDict()
_held: dict[Path, int] = {}  # folder -> descriptor whose shared lock says that this process uses it


def binning_key(params: Mapping[str, Any]) -> str:
    """A name for the binning that these parameters ask for, whatever aliases they are written with."""
    names = _canonical_names()
    params = {names.get(name, name): value for name, value in params.items()}
    # without the list of aliases any parameter might be one of these: right, though shared by fewer trials
    wanted = {name: value for name, value in params.items() if not names or name in _BINNING}
    if params.get("feature_pre_filter", True):
        # features that no leaf could split are left out of the bins
        wanted["min_data_in_leaf"] = params.get("min_data_in_leaf")
    text = json.dumps(wanted, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shared_datasets(
    data_id: str, params: Mapping[str, Any], make: Callable[[], Datasets], *, categorical: Sequence[int] = ()
) -> Datasets:
    """The data `data_id` binned as `params` ask, from this process, from a file of this node, or made by `make`.

    `categorical` are the places of the category columns, as `make` uses them; a model's text names them. Where the
    file cannot be written or read, each process makes its own: slower, and as right.
    """
    place = (data_id, binning_key(params))
    if place in _loaded:
        _loaded.move_to_end(place)
        return _loaded[place]
    try:
        datasets = _from_file(_used_folder(data_id), place[1], params, make, list(categorical))
    except OSError:
        datasets = make()
    _loaded[place] = datasets
    while len(_loaded) > _KEPT:
        _loaded.popitem(last=False)
    return datasets


def forget_binnings(data_id: str) -> None:
    """Remove the files of this node; processes that have loaded them go on."""
    shutil.rmtree(_root() / data_id, ignore_errors=True)


def _from_file(
    folder: Path, key: str, params: Mapping[str, Any], make: Callable[[], Datasets], categorical: list[int]
) -> Datasets:
    files = [folder / f"{key}.{part}" for part in ("train", "valid")]
    with _locked(folder / f"{key}.lock"):
        if not all(file.exists() for file in files):
            datasets = make()
            for dataset, file in zip(datasets, files, strict=True):
                _save(dataset.construct(), file)
            return datasets
    how: dict[str, Any] = {"params": dict(params), "categorical_feature": categorical}
    train = lightgbm.Dataset(str(files[0]), **how)
    try:
        return train.construct(), lightgbm.Dataset(str(files[1]), reference=train, **how).construct()
    except lightgbm.basic.LightGBMError as error:
        raise OSError(f"{folder}: {error}") from error


def _save(dataset: lightgbm.Dataset, file: Path) -> None:
    # by another name first: a process killed while it writes leaves no half file
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    try:
        dataset.save_binary(str(part))
    except lightgbm.basic.LightGBMError as error:
        raise OSError(f"{file}: {error}") from error
    part.replace(file)


def _root() -> Path:
    return Path(tempfile.gettempdir()) / f"mlops-ray-binned-{os.getuid()}"


def _used_folder(data_id: str) -> Path:
    """The folder of the data, marked as in use as long as this process lives; those nobody uses are removed."""
    root = _root()
    root.mkdir(mode=0o700, exist_ok=True)
    if root.stat().st_uid != os.getuid():
        raise OSError(f"{root} belongs to somebody else")
    folder = root / data_id
    folder.mkdir(exist_ok=True)
    if folder not in _held:
        descriptor = os.open(folder / _IN_USE, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _held[folder] = descriptor
        _remove_abandoned(root)
    return folder


def _remove_abandoned(root: Path) -> None:
    """Folders of sweeps whose processes all have ended, however they did."""
    for folder in set(root.iterdir()) - set(_held):
        with suppress(OSError), (folder / _IN_USE).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _canonical_names() -> dict[str, str]:
    # private, but the one place that has the list of the installed version
    known = getattr(lightgbm.basic, "_ConfigAliases", None)
    aliases = known._get_all_param_aliases() if known is not None else {}
    return {alias: name for name, others in aliases.items() for alias in (name, *others)}
