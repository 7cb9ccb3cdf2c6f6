"""Where the files of the synthetic world lie: head models, parts of heads, lights.

An assets folder holds ``ict_facekit/ict_facekit.npz`` and, for looks, ``makehuman/``, ``hdri_cc0/`` and so
on.
"""

from __future__ import annotations

import os
from pathlib import Path

from headgen.errors import InputError
from headgen.hub import cache_folder
from headgen.synth.heads.ict_model import FILE

VARIABLE = "HEADGEN_ASSETS"
ICT_MODEL = "ict-facekit"
"""Name of the ICT face model among the weights."""


def find_assets(given: Path | None = None) -> Path | None:
    """The assets folder: the one given, or else that of the environment variable ``HEADGEN_ASSETS``.

    Returns:
        the folder, or None if neither is given: then there are only files that were fetched (see `find_ict`).

    Raises:
        InputError: the folder does not exist.
    """
    if given is not None:
        folder, origin = Path(given).expanduser(), "the assets folder"
    elif os.environ.get(VARIABLE):
        folder, origin = Path(os.environ[VARIABLE]).expanduser(), f"{VARIABLE} of the environment"
    else:
        return None
    if not folder.is_dir():
        raise InputError(f"{folder}: {origin} does not exist or is not a folder; give one that does")
    return folder


def find_ict(given: Path | None = None) -> Path:
    """The file of the ICT face model.

    Looked for in the assets folder (in ``ict_facekit/`` or directly), and where `headgen weights` keeps it.

    Args:
        given: an assets folder or the file itself; None: ``HEADGEN_ASSETS``, then the fetched one.

    Raises:
        InputError: it is nowhere; the message says how to get it.
    """
    if given is not None and Path(given).expanduser().is_file():
        return Path(given).expanduser()
    folder = find_assets(given)
    fetched = cache_folder() / ICT_MODEL / FILE
    places = [fetched] if folder is None else [folder / "ict_facekit" / FILE, folder / FILE]
    if given is None and folder is not None:
        places.append(fetched)
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise InputError(
        f"the ICT face model is not here (looked for {looked}); run: headgen weights fetch {ICT_MODEL} "
        f"(without a network: with --archive FILE.zip), or give a folder that holds ict_facekit/{FILE} as "
        f"the assets folder or in {VARIABLE}; the analytic head needs no files"
    )
