"""Lets the astronaut portrait of scikit-image listen to demos/speaker.mp4 on the embedded weights.

    make demo

Writes to demos/out/: the portrait (source.png) and the video (listener.mp4) with its run record, speaker and
listener side by side, heads only, with the speaker's sound.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reenact_astronaut import HERE, astronaut, tell

import headgen
from headgen.errors import HeadgenError
from headgen.media import write_image

SPEAKER = HERE / "speaker.mp4"


def main() -> None:
    """Reads the arguments and runs the demo."""
    parser = argparse.ArgumentParser(description="Let the astronaut listen to the speaker of the demo.")
    parser.add_argument("--model", default="listener-small", help="see `headgen weights list`, or a folder")
    parser.add_argument("--output", type=Path, default=HERE / "out", help="folder for the results")
    options = parser.parse_args()
    try:
        run(options.model, options.output)
    except HeadgenError as error:
        parser.exit(2, f"{error}\n")


def run(model: str, folder: Path) -> None:
    """Makes the video and says where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    portrait, output = folder / "source.png", folder / "listener.mp4"
    write_image(portrait, astronaut())
    result = headgen.listen(
        SPEAKER, portrait, output, model=model, layout="side-by-side", frame="crop", progress=tell
    )
    print(f"\n{result}")
    print(f"run record: {result.records[0]}")


if __name__ == "__main__":
    main()
