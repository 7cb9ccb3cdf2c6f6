"""What every output says about itself: that it is AI-generated, and how it was made."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import headgen
from headgen.media.output import replacing

__all__ = [
    "PICTURE_STATEMENT",
    "STATEMENT",
    "container_metadata",
    "picture_metadata",
    "record_path",
    "sha256",
    "versions",
    "write_run_record",
]

STATEMENT = "AI-generated video: a computer made the face move; the person shown did not move like this."
PICTURE_STATEMENT = "AI-generated picture: a computer changed the face; the person did not look like this."

# IPTC's vocabulary of digital source types: media made by a trained model.
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_PACKAGES = (
    "headgen",
    "torch",
    "mediapipe",
    "numpy",
    "opencv-contrib-python",
    "av",
    "diffusers",
    "safetensors",
)


def container_metadata(model: str) -> dict[str, str]:
    """Text fields for the container of an output; players and file managers show them.

    Args:
        model: name of the model that made the frames.
    """
    return {
        "title": "AI-generated video (headgen)",
        "comment": f"{STATEMENT} Made with headgen {headgen.__version__}, model {model}. {_SOURCE_TYPE}",
        "description": STATEMENT,
    }


def picture_metadata(model: str) -> dict[str, str]:
    """A `description`, and an `xmp` packet with IPTC's digital source type, for a picture's file.

    Args:
        model: name of the model that drew the picture.
    """
    description = f"{PICTURE_STATEMENT} Made with headgen {headgen.__version__}, model {model}."
    xmp = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}">'
        '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{escape(description)}"
        "</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    )
    return {"description": description, "xmp": xmp}


def record_path(output: str | Path) -> Path:
    """Where the run record of an output lies: ``out.mp4.json``."""
    output = Path(output)
    return output.with_name(output.name + ".json")


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that have a part in the result."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_run_record(
    output: str | Path,
    *,
    command: str,
    model: str,
    inputs: Mapping[str, Iterable[Path]],
    weights: Mapping[str, str],
    options: Mapping[str, Any],
    seed: int,
    notes: Mapping[str, Any] | None = None,
    statement: str = STATEMENT,
) -> Path:
    """Writes the run record of an output beside it, or removes the output with it.

    Args:
        output: the finished output, which is hashed too.
        command: verb that made it ("reenact").
        model: name of the model.
        inputs: files by role ("source": [...], "driving": [...]).
        weights: SHA-256 by file name of the weights.
        options: all options of the run; paths are written as text.
        seed: seed of the run.
        notes: facts worth keeping (frames, device, precision, faces found).
        statement: what the output is, in words.

    Returns:
        Path of the record.

    Raises:
        InputError: the record cannot be written.
    """
    output = Path(output)
    path = record_path(output)
    try:
        record = {
            "statement": statement,
            "digital_source_type": _SOURCE_TYPE,
            "command": command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "output": {"file": output.name, "sha256": sha256(output)},
            "model": model,
            "weights": dict(weights),
            "inputs": {
                role: [{"file": Path(path).name, "sha256": sha256(path)} for path in paths]
                for role, paths in inputs.items()
            },
            "options": dict(options),
            "seed": seed,
            "versions": versions(),
            "notes": dict(notes or {}),
        }
        with replacing(path) as part:
            part.write_text(json.dumps(record, indent=2, default=_as_text) + "\n", encoding="utf-8")
    except BaseException:  # an output without its record would not say what it is
        output.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return path


def _as_text(value: Any) -> Any:
    if hasattr(value, "item"):  # numpy and torch scalars
        return value.item()
    return str(value)
