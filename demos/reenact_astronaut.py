"""Reenacts the astronaut portrait of scikit-image with demos/driving.mp4 on the embedded weights.

    make demo

Writes to demos/out/: the portrait (source.png), the video (astronaut.mp4) with its run record, and a contact
sheet (contact_sheet.png) that shows source, driving video and result at eight moments, heads only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

import headgen
from headgen.errors import HeadgenError, MissingExtraError
from headgen.faces.crop import portrait_crop
from headgen.faces.tracker import MediaPipeTracker
from headgen.media import VideoReader, write_image
from headgen.progress import ProgressEvent

HERE = Path(__file__).parent
DRIVING = HERE / "driving.mp4"
MOMENTS = 8
CELL = 256  # side of a picture in the contact sheet, pixels
GAP = 4


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
    write_image(sheet, contact_sheet(portrait, DRIVING, output, result.frames))
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


def contact_sheet(portrait: np.ndarray, driving: Path, output: Path, frames: int) -> np.ndarray:
    """Rows source, driving video and result; a column for each moment, evenly spread over the video.

    All pictures of a row show the same square, the one around the head in the first.
    """
    wanted = np.linspace(0, frames - 1, MOMENTS).round().astype(int).tolist()
    rows = [[portrait] * len(wanted), frames_at(driving, wanted), frames_at(output, wanted)]
    with MediaPipeTracker() as tracker:
        tracks = [tracker.track(row[0], still=True) for row in rows]
    crops = [portrait_crop(track.landmarks) if track else None for track in tracks]
    cells = [
        [crop.take(cell, CELL) if crop else cv2.resize(cell, (CELL, CELL)) for cell in row]
        for row, crop in zip(rows, crops, strict=True)
    ]
    step = CELL + GAP
    sheet = np.full((len(rows) * step - GAP, len(wanted) * step - GAP, 3), 255, np.uint8)
    for r, row in enumerate(cells):
        for c, cell in enumerate(row):
            sheet[r * step : r * step + CELL, c * step : c * step + CELL] = cell
    return sheet


def frames_at(path: Path, wanted: list[int]) -> list[np.ndarray]:
    """The frames (H, W, 3) of a video at the given places, in order."""
    with VideoReader(path) as reader:
        found = {frame.index: frame.image for frame in reader if frame.index in wanted}
    return [found[index] for index in wanted]


if __name__ == "__main__":
    main()
