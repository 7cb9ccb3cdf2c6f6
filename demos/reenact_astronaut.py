"""Reenacts the astronaut portrait of scikit-image with demos/driving.mp4 on the embedded weights.

    make demo

Writes to demos/out/: the portrait (source.png), the video (astronaut.mp4) with its run record, and a contact
sheet (contact_sheet.png) that shows source, driving video and result at eight moments, heads only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import headgen
from headgen.errors import HeadgenError, MissingExtraError
from headgen.faces.contact_sheet import contact_sheet
from headgen.media import write_image
from headgen.progress import ProgressEvent

HERE = Path(__file__).parent
DRIVING = HERE / "driving.mp4"


def main() -> None:
    """Reads the arguments and runs the demo."""
    parser = argparse.ArgumentParser(description="Reenact the astronaut with the driving clip of the demo.")
    parser.add_argument("--model", default="fsrt-small", help="see `headgen weights list`")
    parser.add_argument("--output", type=Path, default=HERE / "out", help="folder for the results")
    options = parser.parse_args()
    try:
        run(options.model, options.output)
    except HeadgenError as error:
        parser.exit(2, f"{error}\n")


def run(model: str, folder: Path) -> None:
    """Makes the video and the contact sheet, and says where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    source, output, sheet = (folder / n for n in ("source.png", "astronaut.mp4", "contact_sheet.png"))
    portrait = astronaut()
    write_image(source, portrait)
    result = headgen.reenact([source], DRIVING, output, model=model, progress=tell)
    write_image(sheet, contact_sheet([portrait, DRIVING, output]))
    print(f"\n{result}")
    print(f"run record: {result.record}")
    print(f"contact sheet: {sheet}")


def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8: Eileen Collins, a NASA photograph in the public domain, from scikit-image."""
    try:
        from skimage.data import astronaut as portrait
    except ImportError as error:
        raise MissingExtraError("scikit-image", "demo", "the demo's portrait") from error
    return np.ascontiguousarray(portrait()[..., :3])


def tell(event: ProgressEvent) -> None:
    """Prints the progress on one line."""
    if event.done % 10 == 0 or event.done == event.total:
        print(f"\r{event.stage}: {event.done} of {event.total or '?'} {event.unit}", end="", flush=True)


if __name__ == "__main__":
    main()
