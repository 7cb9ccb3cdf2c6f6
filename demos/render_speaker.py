"""Renders demos/speaker.mp4: somebody who does not exist asks a question and answers it.

    python demos/render_speaker.py

The head is the analytic one, the voice espeak-ng's; text, voice, face, light and motion come from the names
and seeds below. Needs the `synth` extra, and half a minute of one core.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from headgen.media import VideoWriter
from headgen.synth.characters import Casting
from headgen.synth.conversation.conversation import make_conversation
from headgen.synth.film import film
from headgen.synth.render.renderer import Renderer
from headgen.synth.settings import Location
from headgen.synth.speech.track import SAMPLE_RATE

PERSON = "ida"
TALK, PLACE = 8, 8  # seeds
SECONDS = 6.6
SIZE = 256
FPS = 25


def main() -> None:
    """Reads the arguments and renders."""
    parser = argparse.ArgumentParser(description="Render the speaker of the demo.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "speaker.mp4")
    options = parser.parse_args()
    person = Casting("analytic")(PERSON)
    talk = make_conversation(TALK, SECONDS, fps=FPS, sex=person.sex)
    place = Location(size=SIZE)(np.random.default_rng(PLACE))
    about = {
        "title": "Speaker of the headgen demo",
        "comment": "Rendered: a 3D head of somebody who does not exist, with a synthetic voice.",
    }
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "speech.wav"
        samples = np.clip(talk.speech.samples, -1, 1) * 32767
        wavfile.write(sound, SAMPLE_RATE, np.round(samples).astype(np.int16))
        with VideoWriter(
            options.output, FPS, audio_from=sound, crf=18, preset="veryslow", metadata=about
        ) as writer:
            for shot in film(person, talk.speaker, place, Renderer(), flawed=False):
                for image in shot.images:
                    writer.write(image)
    print(f"{options.output}: {len(talk.speaker)} frames, {options.output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
