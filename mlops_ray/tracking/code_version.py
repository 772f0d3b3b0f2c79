"""Which code made a model: the commit, whether the tree differs from it, and the packages it ran with."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Self

__all__ = ["CodeVersion", "code_version"]

# the first of these in a folder pins its packages
_LOCKS = ("uv.lock", "poetry.lock", "constraints.txt", "requirements.txt")
# packages that shape a result; the lock digest covers the others
_NAMED = ("mlops-ray", "ray", "mlflow", "lightgbm", "torch", "numpy", "pyarrow", "pyiceberg", "optuna")
_GIT_TIMEOUT_S = 10.0
_DIFF_BYTES = 1_000_000


@dataclass(frozen=True)
class CodeVersion:
    """The code of one run."""

    sha: str | None  # commit of the folder; None outside of git
    dirty: bool  # whether tracked files differ from the commit
    lock_digest: str  # sha256 of the lock file, or of all installed packages where there is none
    python: str
    packages: Mapping[str, str]  # name -> version of the packages that shape a result
    diff_digest: str | None = None  # sha256 of what a dirty tree differs by
    diff: str = field(default="", repr=False, compare=False)  # that difference itself, cut at 1 MB

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary, without the text of the difference."""
        return {name: value for name, value in asdict(self).items() if name != "diff"}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(
            sha=content["sha"],
            dirty=content["dirty"],
            lock_digest=content["lock_digest"],
            python=content["python"],
            packages=dict(content["packages"]),
            diff_digest=content.get("diff_digest"),
        )


def code_version(folder: Path) -> CodeVersion:
    """The code version of `folder` and of the running interpreter; without git or a commit, `sha` is None."""
    installed = {d.name.lower().replace("_", "-"): d.version for d in distributions() if d.name}
    dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    diff = (_git(folder, "diff", "HEAD", "--no-ext-diff", "--no-color") or "") if dirty else ""
    return CodeVersion(
        sha=_git(folder, "rev-parse", "HEAD"),
        dirty=dirty,
        lock_digest=_lock_digest(folder, installed),
        python=platform.python_version(),
        packages={name: installed[name] for name in _NAMED if name in installed},
        diff_digest=hashlib.sha256(diff.encode()).hexdigest() if diff else None,
        diff=diff if len(diff) <= _DIFF_BYTES else f"{diff[:_DIFF_BYTES]}\n... cut after {_DIFF_BYTES:,} characters\n",
    )


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _lock_digest(folder: Path, installed: Mapping[str, str]) -> str:
    for name in _LOCKS:
        file = folder / name
        if file.is_file():
            return hashlib.sha256(file.read_bytes()).hexdigest()
    freeze = "\n".join(f"{name}=={version}" for name, version in sorted(installed.items()))
    return hashlib.sha256(freeze.encode()).hexdigest()
