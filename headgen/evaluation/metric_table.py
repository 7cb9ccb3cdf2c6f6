"""Every metric that reports use: where it is computed, what it needs, what is better, and who can cheat it.

A baseline *cheats* a metric if it reaches a good figure by construction, without doing what the metric stands
for: a still picture is perfectly calm, a copy of the driver moves exactly like the driver. To be better than
a baseline counts only where that baseline cannot cheat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import numpy as np

from headgen.evaluation.motion_metrics import FIGURES

__all__ = ["AIMS", "LISTEN_METRICS", "REENACT_METRICS", "Aim", "Metric", "shortfall"]

Aim = Literal["lower", "higher", "one", "zero", "truth"]
"""What is better: less, more, nearer to 1, nearer to 0, or nearer to the true videos' own figure."""

AIMS: Mapping[str, float] = {"one": 1.0, "zero": 0.0}
"""What a figure should be, by what is better; for ``truth`` it is the true videos' own."""

_HERE = "headgen.evaluation."


@dataclass(frozen=True)
class Metric:
    """What a metric of a report is.

    Attributes:
        better: see `Aim`.
        unit: of its values.
        about: what it tells, in a few words.
        computed: ``module:function`` whose docstring has definition and source.
        needs: what has to be given for it: ``truth``, ``sound``, or the option that names a file of weights.
        cheats: why a baseline has a good figure by construction, by its name.
        pooled: one figure of all videos together, instead of a mean over videos.
    """

    better: Aim
    unit: str
    about: str
    computed: str
    needs: tuple[str, ...] = ()
    cheats: Mapping[str, str] = field(default_factory=dict)
    pooled: bool = False

    @property
    def function(self) -> Any:
        """What computes it."""
        module, _, name = self.computed.partition(":")
        found: Any = import_module(_HERE + module)
        for part in name.split("."):
            found = getattr(found, part)
        return found


def shortfall(better: Aim, values: np.ndarray, truth: np.ndarray | float = np.nan) -> np.ndarray:
    """How far values are from what is wanted, so that less is better whatever the metric.

    Args:
        better: what is.
        values: (...,).
        truth: the true videos' own, for ``truth``.

    Returns:
        (...,); the value itself, or less it, where there is no end to better or worse.
    """
    if better == "lower":
        return values
    if better == "higher":
        return -values
    return np.abs(values - AIMS.get(better, truth))


_STILL = {"static": "nothing moves in a still picture"}
_OWN_SKIN = {"static": "it is the portrait"}
_SKIN = {
    **_OWN_SKIN,
    "landmark warp": "it moves the portrait's own skin; eyes and mouth, where it fails, are not compared",
}
_DRIVER = {"driver copy": "it is the driver"}
_NATURAL = {**_STILL, "driver copy": "it is a natural video"}

REENACT_METRICS: dict[str, Metric] = {
    "motion_error": Metric(
        "lower", "share", "wrong motion over the driver's: 0 is the driver's motion, 1 none at all",
        "face_motion:channel_figures", cheats=_DRIVER,
    ),
    "motion_error_pose": Metric(
        "lower", "share", "the same of the head's pose", "face_motion:channel_figures", cheats=_DRIVER
    ),
    "motion_error_expression": Metric(
        "lower", "share", "the same of mouth, eyes and brows", "face_motion:channel_figures", cheats=_DRIVER
    ),
    "motion_correlation": Metric(
        "higher", "-1 to 1", "whether the output moves when the driver does", "face_motion:channel_figures",
        cheats=_DRIVER,
    ),
    "gain_mouth_open": Metric(
        "one", "ratio", "how far the mouth opens, over the driver's", "face_motion:channel_figures",
        cheats=_DRIVER,
    ),
    "gain_eye_left": Metric(
        "one", "ratio", "how far the left eye shuts, over the driver's", "face_motion:channel_figures",
        cheats=_DRIVER,
    ),
    "gain_yaw": Metric(
        "one", "ratio", "how far the head turns, over the driver's", "face_motion:channel_figures",
        cheats=_DRIVER,
    ),
    "gain_gaze": Metric(
        "one", "ratio", "how far the eyes turn, over the driver's", "face_trace:gaze_gain", cheats=_DRIVER
    ),
    "pose_error": Metric(
        "lower", "degrees", "yaw, pitch and roll, against the driver's", "face_trace:pose_error",
        cheats=_DRIVER,
    ),
    "expression_error": Metric(
        "lower", "eye distances", "expression coefficients, against the driver's",
        "face_trace:expression_error", cheats=_DRIVER,
    ),
    "lip_correlation": Metric(
        "higher", "-1 to 1", "mouth with the loudness of the sound", "lip_sync:lip_sync", ("sound",), _DRIVER
    ),
    "lip_offset": Metric(
        "zero", "seconds", "how much later the mouth is than the driver's", "lip_sync:lip_sync", ("sound",),
        _DRIVER,
    ),
    "texture_ssim": Metric(
        "higher", "-1 to 1", "skin against the portrait's, laid flat", "face_texture:texture_ssim",
        cheats=_SKIN,
    ),
    "colour_difference": Metric(
        "lower", "CIELAB", "colour of the skin against the portrait's", "face_texture:colour_difference",
        cheats=_SKIN,
    ),
    "sharpness": Metric(
        "one", "ratio", "fine detail of the skin over the portrait's", "face_texture:sharpness",
        cheats=_OWN_SKIN
    ),
    "csim": Metric(
        "higher", "-1 to 1", "who is shown, against the portrait", "feature_metrics:csim", ("identity",),
        _OWN_SKIN,
    ),
    "jitter": Metric(
        "lower", "ratio", "restlessness of the landmarks over the driver's", "face_trace:restlessness",
        cheats=_NATURAL,
    ),
    "flicker": Metric(
        "lower", "grey levels", "noise in time outside the head", "temporal_metrics:TemporalMeter.figures",
        cheats=_NATURAL,
    ),
    "warping_error": Metric(
        "lower", "grey levels", "what optical flow does not explain between frames",
        "temporal_metrics:TemporalMeter.figures", cheats=_NATURAL,
    ),
    "frozen": Metric(
        "lower", "share", "frames that repeat the one before", "temporal_metrics:TemporalMeter.figures",
        cheats=_DRIVER,
    ),
    "face_fraction": Metric(
        "higher", "share", "frames in which a face is found", "score_video:VideoScore.figures",
        cheats={**_STILL, **_DRIVER},
    ),
    "akd": Metric(
        "lower", "eye distances", "landmarks from where they truly are", "face_motion:landmark_distances",
        ("truth",), _DRIVER,
    ),
    "l1": Metric("lower", "0 to 1", "pixels against the true ones", "image_metrics:l1", ("truth",), _DRIVER),
    "psnr": Metric(
        "higher", "decibels", "pixels against the true ones", "image_metrics:psnr", ("truth",), _DRIVER
    ),
    "ssim": Metric(
        "higher", "-1 to 1", "structure against the true pictures'", "image_metrics:ssim", ("truth",), _DRIVER
    ),
    "ms_ssim": Metric(
        "higher", "0 to 1", "structure at five scales", "image_metrics:ms_ssim", ("truth",), _DRIVER
    ),
    "lpips": Metric(
        "lower", "distance", "how different it looks from the truth", "perceptual:LPIPS", ("truth", "lpips"),
        _DRIVER,
    ),
    "aed": Metric(
        "lower", "0 to 2", "who is shown, against the true frame", "feature_metrics:aed",
        ("truth", "identity"), {**_OWN_SKIN, **_DRIVER},
    ),
    "filter_frechet": Metric(
        "lower", "squared", "colours and detail of all frames against the true ones', without a network",
        "feature_extractors:FilterBank", ("truth",), {**_OWN_SKIN, **_DRIVER}, pooled=True,
    ),
    "fid": Metric(
        "lower", "squared", "all frames against the true ones", "feature_metrics:frechet",
        ("truth", "inception"), {**_OWN_SKIN, **_DRIVER}, pooled=True,
    ),
    "kid": Metric(
        "lower", "squared", "all frames against the true ones", "feature_metrics:kernel_distance",
        ("truth", "inception"), {**_OWN_SKIN, **_DRIVER}, pooled=True,
    ),
    "fvd": Metric(
        "lower", "squared", "all clips of 16 frames against the true ones", "feature_metrics:frechet",
        ("truth", "i3d"), _DRIVER, pooled=True,
    ),
}  # fmt: skip
"""Metrics of reenactments. Reports leave out what is not measured."""

_REAL = {
    "nearest neighbour": "it is real motion, of somebody else",
    "random motion": "it has a real listener's spectrum, at random times",
}
_LISTENER_CHEATS: dict[str, dict[str, str]] = {
    "fd": _REAL,
    "pfd": _REAL,
    "mse": {"static": "right motion at the wrong time costs more than none"},
    "sid": {**_REAL, "mirror": "it is real motion, of the speaker"},
    "var": _REAL,
    "var_within": {**_REAL, "mirror": "it is real motion, of the speaker"},
    "rpcc": {"static": "people hardly move like their speaker either", **_REAL},
    "rpcc_within": {"static": "people hardly move like their speaker either", **_REAL},
    "tlcc": {"mirror": "it has no lag by construction"},
    "diversity": {"random motion": "it is random"},
}
_EVENT_FIGURES: tuple[tuple[str, Aim, str, str], ...] = (
    ("f1", "higher", "0 to 1", "agreement with the true events"),
    ("f1_above_chance", "higher", "-1 to 1", "agreement less that of chance"),
    ("tiou", "higher", "0 to 1", "overlap in time of those that agree"),
    ("delay", "zero", "seconds", "how much later than the true ones"),
    ("per_minute", "truth", "a minute", "how often"),
)
_PARTS = {"pose": "of the head's pose", "expression": "of the expression"}
LISTEN_METRICS: dict[str, Metric] = {
    **{
        f"{name}_{part}": Metric(
            figure.better, figure.unit, f"{figure.about}; {of}", "motion_metrics:listener_report",
            cheats=_LISTENER_CHEATS[name], pooled=True,
        )
        for part, of in _PARTS.items()
        for name, figure in FIGURES.items()
        if not name.endswith("_truth")
    },
    **{
        f"{kind}_{name}": Metric(
            better, unit, f"{kind}: {about}", "motion_events:event_report",
            cheats=_REAL if name == "per_minute" or (kind, name) == ("blinks", "f1") else {}, pooled=True,
        )
        for kind in ("nods", "blinks", "smiles")
        for name, better, unit, about in _EVENT_FIGURES
    },
    **{
        name: REENACT_METRICS[name]
        for name in (
            "texture_ssim", "colour_difference", "sharpness", "csim", "flicker", "warping_error", "frozen",
            "face_fraction",
        )
    },
    "seam_jump": Metric(
        "lower", "ratio", "jumps where segments are joined over motion elsewhere", "face_trace:seam_jump",
        ("segment_frames",), _STILL,
    ),
    "filter_frechet": REENACT_METRICS["filter_frechet"],
    "fid": REENACT_METRICS["fid"],
    "kid": REENACT_METRICS["kid"],
    "fvd": REENACT_METRICS["fvd"],
}  # fmt: skip
"""Metrics of listeners."""
