"""How well the face tracker knows synthetic heads: a check of their looks and of their landmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headgen.errors import InputError
from headgen.faces.tracker import MediaPipeTracker
from headgen.progress import ProgressCallback, ProgressEvent
from headgen.synth.characters import Casting, ModelName
from headgen.synth.dataset.poses import random_frame
from headgen.synth.dataset.records import person_name
from headgen.synth.film import film
from headgen.synth.render.renderer import Renderer
from headgen.synth.settings import Location, panoramas

MOST_YAW = 40.0  # degrees: beyond it half a face is hidden
PUPILS, CORNERS = (468, 473), (33, 263)


def bench(
    *,
    model: ModelName = "ict",
    assets: Path | None = None,
    textures: Path | None = None,
    count: int = 200,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Renders people in random poses and looks for their faces with the tracker.

    Args:
        model: `ict` or `analytic`.
        assets: folder with the ICT face model and HDR panoramas (only `ict` needs it).
        textures: library made by `headgen synth textures` (only `ict` needs it).
        count: people, a picture each.
        seed: of everything.
        progress: told of each picture.

    Returns:
        ``found``: share of the pictures, of faces turned less than 40 degrees, in which the tracker finds the
        face; ``landmarks_median`` and ``landmarks_90th``: distance of its 468 landmarks from the projected,
        mean over the face, as a share of the distance between the pupils; ``landmarks_median_corners``: the
        median as a share of the distance between the eyes' outer corners; ``pictures``: how many counted.

    Raises:
        InputError: nothing to measure, or missing files.
    """
    if count < 1:
        raise InputError(f"count={count}: give 1 or more")
    casting, renderer = Casting(model, assets, textures, seed), Renderer()
    location = Location(panoramas(assets))
    distances: list[float] = []
    by_corners: list[float] = []
    seen = 0
    with MediaPipeTracker() as tracker:
        for k in range(count):
            posed, place = np.random.default_rng((seed, k)).spawn(2)
            motion = random_frame(posed)
            if abs(float(motion.head[0, 0])) < MOST_YAW:
                shot = next(film(casting(person_name(k)), motion, location(place), renderer))
                track = tracker.track(shot.images[0], still=True)
                seen += 1
                truth = shot.truth.landmarks_478[0]
                pupils, corners = (
                    float(np.linalg.norm(truth[a, :2] - truth[b, :2])) for a, b in (PUPILS, CORNERS)
                )
                if track is not None:
                    apart = (
                        np.linalg.norm(track.landmarks[:468, :2] - truth[:468, :2], axis=1).mean() / pupils
                    )
                    if apart < 1:  # else it found something else
                        distances.append(float(apart))
                        by_corners.append(float(apart) * pupils / corners)
            if progress is not None:
                progress(ProgressEvent("look", k + 1, count, "pictures"))
    if not seen:
        raise InputError(f"count={count}: every face was turned away; give more")
    figures = np.percentile(distances, [50, 90]) if distances else [np.nan, np.nan]
    return {
        "found": round(len(distances) / seen, 4),
        "landmarks_median": round(float(figures[0]), 4),
        "landmarks_median_corners": round(float(np.median(by_corners)) if by_corners else np.nan, 4),
        "landmarks_90th": round(float(figures[1]), 4),
        "pictures": seen,
    }
