"""Weights: which models there are, where their files lie, whether they are whole, and how to get them.

Embedded models lie in ``weights/`` of a checkout, and inside the installed package (``headgen/_weights``).
Everything else lies in the cache folder: ``$HEADGEN_HOME/weights``, or ``headgen/weights`` in the user's
cache.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from headgen.errors import InputError, WeightsError
from headgen.media.output import output_error, replacing
from headgen.media.provenance import sha256
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = [
    "Model",
    "ModelTable",
    "WeightFile",
    "Weights",
    "cache_folder",
    "convert",
    "embedded_folder",
    "fetch",
    "list_models",
    "manifest",
    "resolve",
    "verify",
]

logger = logging.getLogger(__name__)

_FILE_LIST = "files.json"
"""File list of a converted model, written beside its files."""

_Source = Path | zipfile.Path
"""A folder, or an archive that is read without unpacking it."""

_FRESH = 5.0  # seconds in which a file may change again without its time telling
_UNPACKED_LIMIT = 2_000_000_000
"""Bytes that an archive may hold when unpacked: a few times what the meshes of the ICT face model need."""


@dataclass(frozen=True)
class WeightFile:
    """One file of a model."""

    path: str
    """Relative to the model's folder, with ``/``: a model of several parts has a folder for each."""
    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Model:
    """One entry of ``weights/manifest.yaml``."""

    name: str
    purpose: str
    """What it is for, in one line."""
    licence: str
    """Licence of the weights."""
    embedded: bool = False
    """Its files travel with headgen."""
    source: str = ""
    """Where weights that are not embedded come from, and what to do to get them."""
    url: str = ""
    """Address of the folder that `fetch` downloads the files from; empty: they do not lie anywhere."""
    archive: str = ""
    """Address of a zip of its authors that `fetch` downloads and converts; empty: there is none."""
    training: str = ""
    """How it was trained, and on what."""
    quality: dict[str, Any] = field(default_factory=dict)
    """Measured figures by name."""
    files: tuple[WeightFile, ...] = ()
    """Known files; empty for a model that is converted here."""

    @property
    def folder(self) -> Path:
        """Where its files lie, or would lie."""
        return (embedded_folder() if self.embedded else cache_folder()) / self.name

    @property
    def remedy(self) -> str:
        """What to do when its files are missing or wrong."""
        if self.embedded:
            return "install headgen again, or restore weights/ of the checkout"
        if self.url or self.archive:
            return f"run: headgen weights fetch {self.name}"
        return self.source


@dataclass(frozen=True)
class Weights:
    """Checked weights of one model."""

    folder: Path
    sha256: dict[str, str]
    """By path relative to the folder, for run records."""


@dataclass(frozen=True)
class ModelTable:
    """All models and their state, as `headgen weights list` shows them."""

    models: tuple[Model, ...]
    states: tuple[str, ...]
    """For each model: "ready", "not installed", or what is wrong with it."""

    def __str__(self) -> str:
        blocks = []
        for model, state in zip(self.models, self.states, strict=True):
            size = sum(file.size for file in model.files)
            lines = [f"{model.name}  [{state}]", f"  for       {model.purpose}"]
            lines.append(f"  files     {model.folder}" + (f" ({size / 1e6:.1f} MB)" if size else ""))
            if model.source:
                lines.append(f"  source    {model.source}")
            lines.append(f"  licence   {model.licence}")
            if model.training:
                lines.append(f"  training  {model.training}")
            if model.quality:
                figures = ", ".join(f"{name} {value}" for name, value in model.quality.items())
                lines.append(f"  quality   {figures}")
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks)


def embedded_folder() -> Path:
    """The folder of the embedded weights: of the checkout, or inside the installed package."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "weights"
    return checkout if (checkout / "manifest.yaml").is_file() else package / "_weights"


def cache_folder() -> Path:
    """The folder of fetched and converted weights; need not exist."""
    home = os.environ.get("HEADGEN_HOME")
    if home:
        return Path(home).expanduser() / "weights"
    user_cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(user_cache) if user_cache else Path.home() / ".cache") / "headgen" / "weights"


def manifest(path: Path | None = None) -> dict[str, Model]:
    """Reads the manifest.

    Args:
        path: manifest to read; None: the one that came with headgen.

    Raises:
        WeightsError: it is missing or does not follow the schema at its head.
    """
    return _read_manifest(path or embedded_folder() / "manifest.yaml")


def list_models() -> ModelTable:
    """Lists all models: what each is for, licence, measured figures, and whether it is installed here."""
    models = tuple(manifest().values())
    states = []
    for model in models:
        problems = _problems(model)
        absent = not model.folder.is_dir() and not model.embedded
        states.append("not installed" if absent else "; ".join(problems) or "ready")
    return ModelTable(models, tuple(states))


def resolve(name: str) -> Weights:
    """Finds the weights of a model and checks every file.

    Args:
        name: a model of the manifest, or the path of a folder with weights of your own training.

    Returns:
        Where they lie, and their hashes.

    Raises:
        WeightsError: the model is not known, or a file is missing or not the one it should be.
    """
    models = manifest()
    if name not in models:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise WeightsError(
                f"unknown model {name!r}; known are {', '.join(models)}, or the path of a folder"
            )
        # Configurations count as the weights do: with another one, the same weights make another model.
        found = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors"))
        if not any(path.suffix == ".safetensors" for path in found):
            raise WeightsError(f"{folder}: holds no .safetensors file; give the folder of a saved model")
        return Weights(folder, {path.relative_to(folder).as_posix(): _digest(path) for path in found})
    model = models[name]
    problems = _problems(model)
    if problems:
        raise WeightsError(f"model {name}: {'; '.join(problems)}; {model.remedy}")
    return Weights(model.folder, {file.path: file.sha256 for file in _expected_files(model)})


def verify(name: str | None = None) -> str:
    """Checks size and SHA-256 of every file of a model.

    Args:
        name: model to check. All that are installed if it is left out.

    Returns:
        One line per model.

    Raises:
        WeightsError: the model is unknown, or a file is missing or wrong.
    """
    if name is not None:
        resolve(name)
        return f"{name}: all files are as they should be"
    lines, bad = [], []
    for model in manifest().values():
        if not model.embedded and not model.folder.is_dir():
            lines.append(f"{model.name}: not installed")
            continue
        problems = _problems(model)
        lines.append(f"{model.name}: {'; '.join(problems) or 'all files are as they should be'}")
        if problems:
            bad.append(f"model {model.name}: {'; '.join(problems)}; {model.remedy}")
    if bad:
        raise WeightsError(" | ".join(bad))
    return "\n".join(lines)


def fetch(name: str, *, archive: Path | None = None, progress: ProgressCallback | None = None) -> str:
    """Downloads the weights of a model into the cache folder, and checks or converts them.

    Args:
        name: model to fetch.
        archive: its authors' zip, or the folder in it, to use instead of a download (ict-facekit).
        progress: called as bytes arrive, and for each step of a conversion.

    Returns:
        What was done.

    Raises:
        InputError: the archive given does not exist or does not hold the model, or a disk that is full.
        WeightsError: the model is unknown or cannot be fetched (the message says what to do instead), or the
            download failed or is not what it should be.
    """
    models = manifest()
    if name not in models:
        raise WeightsError(f"unknown model {name!r}; known are {', '.join(models)}")
    model = models[name]
    if not _problems(model):
        return f"{name}: is here already, {model.folder}"
    if model.archive:
        _fetch_and_convert(model, archive, progress)
        return f"{name}: fetched to {model.folder}"
    if archive is not None:
        raise WeightsError(f"model {name}: is not made from an archive; {model.remedy}")
    if not model.url:
        raise WeightsError(f"model {name}: cannot be fetched; {model.remedy}")
    total = sum(file.size for file in model.files)
    done = 0
    for file in model.files:
        target = model.folder / file.path
        if _file_problem(model.folder, file) is not None:
            _make_folder(target.parent)
            address = f"{model.url.rstrip('/')}/{file.path}"
            with replacing(target) as part:
                _download(address, part, progress, done=done, total=total)
                if sha256(part) != file.sha256:
                    raise WeightsError(
                        f"{address}: is not the file it should be (SHA-256 differs); try again later"
                    )
        done += file.size
    return f"{name}: fetched to {model.folder}"


def convert(
    kp_detector: Path, checkpoint: Path, *, name: str = "fsrt-vox256", output: Path | None = None
) -> str:
    """Turns official FSRT checkpoints into headgen's safetensors.

    Args:
        kp_detector: the official key-point detector, kp_detector.pt.
        checkpoint: the official network, such as vox256.pt; one with all the training keys will do.
        name: model of the manifest that the weights are for.
        output: folder to write instead of the model's own in the cache.

    Returns:
        What was written.

    Raises:
        InputError: a file cannot be read or is not the checkpoint it should be.
        WeightsError: the model is unknown or not made from checkpoints.
    """
    models = manifest()
    convertible = [
        model.name for model in models.values() if not (model.embedded or model.url or model.archive)
    ]
    if name not in convertible:
        known = ", ".join(convertible)
        raise WeightsError(f"model {name!r} is not made from checkpoints; those that are: {known}")
    for path in (kp_detector, checkpoint):
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file; give the official checkpoint")
    from headgen.fsrt import checkpoints

    target = Path(output) if output is not None else models[name].folder
    sources: dict[str, str | None] = {Path(path).name: sha256(path) for path in (kp_detector, checkpoint)}
    with _replacing_model(name, target, sources) as part:
        checkpoints.convert(Path(kp_detector), Path(checkpoint), part)
    return f"{name}: converted to {target}"


def _convert_ict_facekit(source: _Source, folder: Path, progress: ProgressCallback | None) -> None:
    from headgen.synth.heads.ict_obj import convert_folder

    convert_folder(source, folder / "ict_facekit.npz", progress=progress)


_CONVERTERS = {"ict-facekit": _convert_ict_facekit}
"""For each model with an archive: reads its authors' files and writes ours to a folder."""


def _fetch_and_convert(model: Model, given: Path | None, progress: ProgressCallback | None) -> None:
    """Makes a model from the archive of its authors: the one given, or else downloaded and then removed."""
    if given is not None and not given.exists():
        raise InputError(f"{given}: no such file; give the zip of {model.archive}, or the folder in it")
    with ExitStack() as stack:
        if given is None:
            _make_folder(model.folder.parent)
            packed, origin = model.folder.with_name(f"{model.name}.zip"), model.archive
            fix = f"try again, or get it elsewhere and run: headgen weights fetch {model.name} --archive FILE"
            stack.callback(packed.unlink, missing_ok=True)
            with replacing(packed) as part:
                _download(origin, part, progress, fix=fix)
        else:
            packed, origin, fix = given, str(given), f"get it again from {model.archive}"
        whole = packed.is_file()
        source = stack.enter_context(_opened(packed, origin, fix)) if whole else packed
        digest = sha256(packed) if whole else None
        with _replacing_model(model.name, model.folder, {origin: digest}) as part:
            _CONVERTERS[model.name](source, part, progress)


@contextmanager
def _opened(packed: Path, origin: str, fix: str) -> Iterator[zipfile.Path]:
    """The root of a zip. Files are read where they are, so nothing in it can reach another place."""
    try:
        archive = zipfile.ZipFile(packed)
    except (OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{origin}: is not a whole zip archive ({error}); {fix}") from error
    with archive:
        size = sum(entry.file_size for entry in archive.infolist())  # no more than this is ever unpacked
        if size > _UNPACKED_LIMIT:
            raise WeightsError(f"{origin}: unpacks to {size / 1e9:.1f} GB, more than any model; {fix}")
        yield zipfile.Path(archive)


@contextmanager
def _replacing_model(name: str, target: Path, sources: dict[str, str | None]) -> Iterator[Path]:
    """Gives a folder to write a model to; lists its files and puts it in the target's place, or removes it.

    `sources` has the SHA-256 of what the model is made from, None for a folder.
    """
    part = target.with_name(target.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        _make_folder(part)
        yield part
        files = [
            WeightFile(path.relative_to(part).as_posix(), sha256(path), path.stat().st_size)
            for path in sorted(part.rglob("*"))
            if path.is_file()
        ]
        record = {"model": name, "converted_from": sources, "files": [asdict(file) for file in files]}
        (part / _FILE_LIST).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        os.replace(part, target)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@cache
def _read_manifest(path: Path) -> dict[str, Model]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: the list of models is missing; install headgen again") from error
    except yaml.YAMLError as error:
        raise WeightsError(
            f"{path}: is not YAML ({str(error).splitlines()[0]}); install headgen again"
        ) from error
    models = {}
    try:
        if content["version"] != 1:
            raise WeightsError(
                f"{path}: has version {content['version']}, this headgen reads 1; update headgen"
            )
        for name, entry in content["models"].items():
            files = tuple(WeightFile(**file) for file in entry.pop("files", None) or ())
            models[name] = Model(name=name, files=files, **entry)
    except (TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path}: does not follow its schema ({error}); install headgen again") from error
    return models


def _expected_files(model: Model) -> tuple[WeightFile, ...]:
    """Files that the model should have; none if neither manifest nor conversion says so."""
    if model.files:
        return model.files
    try:
        record = json.loads((model.folder / _FILE_LIST).read_text(encoding="utf-8"))
        return tuple(WeightFile(**file) for file in record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _problems(model: Model) -> list[str]:
    """What is wrong with the files of a model; empty if nothing."""
    if not model.folder.is_dir():
        return [f"weights are missing ({model.folder} does not exist)"]
    files = _expected_files(model)
    if not files:
        return [f"weights are missing ({model.folder / _FILE_LIST} does not exist)"]
    return [problem for file in files if (problem := _file_problem(model.folder, file)) is not None]


def _file_problem(folder: Path, file: WeightFile) -> str | None:
    path = folder / file.path
    if not path.is_file():
        return f"{path} is missing"
    size = path.stat().st_size
    if size != file.size:
        return f"{path} has {size} bytes instead of {file.size}"
    return None if _digest(path) == file.sha256 else f"{path} has the wrong SHA-256"


def _digest(path: Path) -> str:
    """SHA-256 of a file of weights; of one that has rested for a while, computed once in this process."""
    status = path.stat()
    if time.time() - status.st_mtime < _FRESH:
        return sha256(path)
    return _rested_digest(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _rested_digest(path: Path, size: int, changed: int, inode: int) -> str:
    return sha256(path)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def _download(
    address: str,
    part: Path,
    progress: ProgressCallback | None,
    *,
    done: int = 0,
    total: int | None = None,
    fix: str = "try again",
) -> None:
    """Downloads a file; an OSError is of `part`, all else is a WeightsError.

    `done` are the bytes of earlier files and `total` of all; None: of this one, if the server says.
    """
    with _network(address, fix):
        answer = urllib.request.urlopen(address, timeout=60)
    expected = int(answer.headers.get("Content-Length") or 0)
    received = 0
    with answer, part.open("wb") as file:
        while True:
            with _network(address, fix):
                block = answer.read(1 << 18)
                if not block and received < expected:
                    raise ConnectionError(f"cut off after {received} of {expected} bytes")
            if not block:
                break
            file.write(block)
            received += len(block)
            if progress is not None:
                progress(ProgressEvent("fetch", done + received, total or expected or None, unit="bytes"))


@contextmanager
def _network(address: str, fix: str) -> Iterator[None]:
    """What the network does wrong is said of the address, not of the file that is being written."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error or type(error).__name__
        raise WeightsError(
            f"{address}: cannot be downloaded ({reason}); check the connection and {fix}"
        ) from error
