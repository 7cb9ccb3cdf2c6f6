"""Examples that run in seconds: rendered people who do not exist, and the astronaut of scikit-image."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import headgen

__all__ = ["driving", "portraits", "speaker"]

_HERE = Path(__file__).parent / "examples"


def portraits(folder: Path) -> dict[str, Path]:
    """Photographs by name.

    Args:
        folder: where one is written that lies in no file of its own.
    """
    found = {"Rendered head": Path(str(resources.files(headgen) / "serve" / "example.jpg"))}
    if find_spec("skimage") is not None:
        from skimage.data import astronaut

        from headgen.media.image import write_image

        folder.mkdir(exist_ok=True)
        path = folder / "astronaut.png"
        if not path.exists():
            write_image(path, astronaut()[..., :3])
        found = {"Astronaut": path} | found
    return found


def driving() -> Path:
    """Four seconds of a rendered head that turns, smiles and speaks."""
    return _file("driving.mp4")


def speaker() -> Path:
    """Seven seconds of a rendered head that asks a question, with a synthetic voice."""
    return _file("speaker.mp4")


def _file(name: str) -> Path:
    """Of an installed studio, or of the checkout's demos."""
    packed = _HERE / name
    return packed if packed.is_file() else Path(__file__).resolve().parents[3] / "demos" / name
