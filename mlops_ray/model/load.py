"""Bundles from a lake or a folder into memory, checked file by file before anything of them is used."""

import atexit
import hashlib
import json
import shutil
import tempfile
import uuid
from pathlib import Path
from urllib.parse import unquote, urlparse

from mlops_ray.drift import AttributionReference, ReferenceProfile
from mlops_ray.errors import ModelError, SourceError, ValidationError
from mlops_ray.lake import Lake
from mlops_ray.model.bundle import ATTRIBUTION_FILE, MANIFEST, Bundle, Manifest, digest_of
from mlops_ray.model.predictor import load_predictor
from mlops_ray.model.probe import PROBE_FILE, Probe
from mlops_ray.model.signature import Signature

__all__ = ["load_bundle", "read_attribution", "read_probe"]

_DIGEST12 = 12


def load_bundle(
    uri: str, *, cache: Path | None = None, device: str = "cpu", threads: int = 1, digest: str | None = None
) -> Bundle:
    """The bundle at `uri` (a folder, file:// or s3://), every file of it checked against the manifest.

    A remote bundle is copied into `cache` once and read from there, by several processes if need be; without a cache
    it goes into a temporary folder that lives as long as the process.

    `digest` is what the bundle was registered with. Bundles of the flavors sklearn, pyfunc and python run code when
    they are loaded: with the digest, that is the code that was registered.

    Raises:
        ModelError: there is no bundle, it has another digest, a file is missing or damaged (it is named), or the model
            cannot be loaded.
    """
    local = _local_folder(uri)
    manifest = _manifest(uri)
    if digest is not None and manifest.digest != digest:
        raise ModelError(
            f"bundle {uri}: expected the digest {digest[:_DIGEST12]} it was registered with, found "
            f"{manifest.digest[:_DIGEST12]}; somebody has replaced it"
        )
    if local is None:
        local = _download(uri, manifest, cache)
    _verify(local, manifest, uri)
    signature = _signature(local, uri)
    return Bundle(
        manifest=manifest,
        signature=signature,
        reference=_reference(local, uri),
        predictor=load_predictor(manifest.flavor, local, signature=signature, device=device, threads=threads),
        uri=uri,
        folder=local,
    )


def read_probe(uri: str) -> Probe | None:
    """The probe of the bundle at `uri`, without the model; None in a bundle that has none.

    Raises:
        ModelError: there is no bundle, or the probe or the signature is missing or damaged.
    """
    manifest = _manifest(uri)
    if PROBE_FILE not in manifest.files:
        return None
    signature = Signature.from_json(json.loads(_checked_file(uri, "signature.json", manifest)))
    return Probe.from_bytes(_checked_file(uri, PROBE_FILE, manifest), signature)


def read_attribution(uri: str) -> AttributionReference | None:
    """How the model of the bundle at `uri` reasoned in training; None where the bundle does not say.

    Raises:
        ModelError: there is no bundle, or the file is missing or damaged.
    """
    manifest = _manifest(uri)
    if ATTRIBUTION_FILE not in manifest.files:
        return None
    return AttributionReference.from_json(_checked_file(uri, ATTRIBUTION_FILE, manifest))


def _checked_file(uri: str, name: str, manifest: Manifest) -> bytes:
    try:
        content = Lake(uri).read_bytes(name)
    except SourceError as error:
        raise ModelError(f"bundle {uri}: file {name} is missing") from error
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise _altered(uri, name)
    return content


def _altered(uri: str, name: str) -> ModelError:
    return ModelError(f"bundle {uri}: file {name} is not what was written (sha256 differs); publish the model again")


def _manifest(uri: str) -> Manifest:
    try:
        content = Lake(uri).read_bytes(MANIFEST)
    except SourceError as error:
        raise ModelError(f"bundle {uri}: no {MANIFEST} there; expected a folder written by write_bundle") from error
    try:
        manifest = Manifest.from_json(json.loads(content))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"bundle {uri}: {MANIFEST} is damaged ({error!r})") from error
    if manifest.format != 1:
        raise ModelError(f"bundle {uri}: expected format 1, found {manifest.format}; use a newer mlops_ray")
    if manifest.digest != digest_of(manifest.flavor, manifest.files):
        raise ModelError(f"bundle {uri}: {MANIFEST} is damaged (its digest is not that of its files)")
    return manifest


def _local_folder(uri: str) -> Path | None:
    parts = urlparse(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in uri else Path(uri)


def _download(uri: str, manifest: Manifest, cache: Path | None) -> Path:
    if cache is None:
        temporary = Path(tempfile.mkdtemp(prefix="mlops-ray-bundle-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return _fetch(uri, manifest, temporary)
    folder = cache / manifest.digest
    if _damaged_file(folder, manifest) is None:
        return folder
    # beside its place and moved there whole: another process may load the same bundle at this moment
    fresh = cache / f".{manifest.digest[:_DIGEST12]}-{uuid.uuid4().hex}"
    _fetch(uri, manifest, fresh)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    except OSError:
        # the other process was first; what it put there is checked like everything else
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _fetch(uri: str, manifest: Manifest, folder: Path) -> Path:
    lake = Lake(uri)
    for name in manifest.files:
        try:
            content = lake.read_bytes(name)
        except SourceError as error:
            raise ModelError(f"bundle {uri}: file {name} is missing") from error
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def _verify(folder: Path, manifest: Manifest, uri: str) -> None:
    damaged = _damaged_file(folder, manifest)
    if damaged is not None and (folder / damaged).is_file():
        raise _altered(uri, damaged)
    if damaged is not None:
        raise ModelError(f"bundle {uri}: file {damaged} is missing; publish the model again")


def _damaged_file(folder: Path, manifest: Manifest) -> str | None:
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            return name
    return None


def _signature(folder: Path, uri: str) -> Signature:
    try:
        return Signature.from_json(json.loads((folder / "signature.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"bundle {uri}: signature.json is not a signature ({error!r})") from error


def _reference(folder: Path, uri: str) -> ReferenceProfile:
    try:
        return ReferenceProfile.from_json((folder / "reference.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ModelError(f"bundle {uri}: reference.json is not a reference profile ({error!r})") from error
