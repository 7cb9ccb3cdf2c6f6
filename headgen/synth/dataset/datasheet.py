"""The datasheet that lies beside every data set: what it is, what it is not, how it was made.

After Gebru et al., "Datasheets for Datasets" (2021), as far as their questions have a meaning for data that
nobody was recorded for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import headgen
from headgen.synth.dataset.records import ClipRecord

CONTENT = {
    "heads": """Still pictures (PNG) of one head each. `NAME.safetensors` holds the part mask, depth (cm),
normals, texture places, 68 and 478 landmarks with their visibility, joints, camera, and the motion row
(expression, pose, gaze) that the picture shows.""",
    "video": """Videos (H.264, every frame a key frame) of one head each. `NAME.safetensors` holds 478
landmarks and the motion row of every frame; `NAME.wav` (16 kHz) what is said, if the head talks;
`NAME_parts.mkv` (FFV1) the part masks, if they were asked for.""",
    "conversation": """Conversations of two heads: `NAME_speaker.*` and `NAME_listener.*` as videos with 478
landmarks and the motion row of every frame, `NAME.wav` (16 kHz) what the speaker says. The manifest lists the
events of both with their causes and delays, the words with their times, the listener's attitude and its
intensity, and captions in several phrasings.""",
}
PEOPLE = {
    "analytic": "Nobody: heads are drawn from formulas.",
    "ict": """Nobody real: shapes of the ICT face model (MIT licence) and skin textures, both mixed of several
people. The textures come from the portraits that the maker's library was built of; their rights and their
bias go into the mixtures. A library of official portraits, for instance, shows mostly smiling adults of one
nation's politics.""",
}


LIMITS = """## What it is not

- No recording of behaviour: motion follows measured and published statistics and rules of listening; what the
  rules leave out is not there. It says nothing about how people of any group behave.
- No photograph: skin, hair and mouths are simpler than real ones. What is trained on it needs a look at real
  input before it is believed.
- Voices are synthetic (espeak-ng); texts are made up by a grammar and mean little.

## Uses

Training and testing of face analysis, reenactment and listener models. Not for passing off generated people
as real ones."""


def write_datasheet(
    directory: Path, records: Sequence[ClipRecord], options: Mapping[str, Any], skipped: int = 0
) -> None:
    """Writes ``DATASHEET.md``.

    Args:
        directory: of the data set.
        records: of its clips.
        options: what it was made with.
        skipped: clips left out because no face was found in them.
    """
    kind, model = records[0].kind, records[0].model
    splits = Counter(record.split for record in records)
    people = {person for record in records for person in record.identities}
    seconds = sum(record.frames / record.fps for record in records if record.fps)
    events = Counter(f"{event['who']} {event['kind']}" for record in records for event in record.events)
    made = ", ".join(f"{key} {value}" for key, value in sorted(options.items()))
    shares = ", ".join(f"{split} {count}" for split, count in sorted(splits.items()))
    labels = ""
    if options["landmarks"] == "tracked":
        labels = ", but for the landmarks, which the face tracker found"
        if options["motion"] == "natural":
            labels += " (where it found none, they are exact: array `tracked` of each clip)"
    lines = [
        f"# Synthetic {kind} data",
        "",
        f"Made by headgen {headgen.__version__} with `headgen synth`: {made}.",
        "",
        "## What it is",
        "",
        CONTENT[kind],
        "",
        f"- Clips: {len(records)} ({shares})",
        *([f"- Left out because no face was found in them: {skipped} clips"] if skipped else []),
        f"- People: {len(people)}; no person is in two splits",
        *([f"- Length: {seconds / 60:.1f} minutes of conversation or video"] if seconds else []),
        "- All pictures, sounds and labels are generated. Labels are exact: they are what the pictures were",
        f"  drawn from, not what a detector found{labels}.",
        "",
        "## Who is shown",
        "",
        PEOPLE[model],
        "",
        LIMITS,
    ]
    if events:
        lines += ["", "## Events", "", "| event | count |", "|---|---|"]
        lines += [f"| {name} | {count} |" for name, count in sorted(events.items())]
    path = directory / "DATASHEET.md"
    part = path.with_suffix(".md.part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(part, path)
