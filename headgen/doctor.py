"""What is installed here, what it can do, what is missing and how to get it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import headgen
from headgen import hub
from headgen.errors import HeadgenError
from headgen.machine import processor

__all__ = ["Finding", "Report", "doctor"]

EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "train": ("headgen train", ("lightning", "tensorboard")),
    "synth": (
        "headgen synth: data sets of rendered people and of conversations",
        ("numba", "espeakng_loader", "pyarrow"),
    ),
    "perceptual": ("the VGG19 loss of headgen train fsrt", ("torchvision",)),
    "serve": ("headgen serve", ("aiohttp",)),
    "studio": ("headgen studio", ("gradio",)),
    "batch": ("headgen batch with Parquet manifests and tables", ("pyarrow",)),
    "cluster": ("headgen batch --executor ray", ("ray", "pyarrow")),
    "speech": ("wav2vec 2.0 as features of speech", ("torchaudio",)),
    "metrics": ("headgen evaluate, headgen bench quality", ("torchmetrics", "skimage")),
    "provenance": ("signed Content Credentials (come later)", ("c2pa",)),
    "wan": ("listeners on the public video model Wan", ("peft", "accelerate", "transformers")),
    "demo": ("make demo", ("skimage",)),
}
"""Extra: what needs it, and the modules it brings. A module of several extras is asked for by the first."""

_NEEDS = {
    "headgen reenact": ("fsrt-small",),
    "headgen edit-portrait": ("fsrt-small",),
    "headgen listen": ("listener-small", "listener-edit", "fsrt-small"),
}
"""Models that a command takes by default."""

_CORE = (
    *("torch", "mediapipe", "numpy", "opencv-contrib-python", "av", "diffusers", "einops", "safetensors"),
    "silero-vad",
)
_CODECS = (("h264", "r"), ("hevc", "r"), ("vp9", "r"), ("av1", "r"), ("libx264", "w"), ("aac", "w"))


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    section: str
    name: str
    state: str
    """"ok", "missing" (optional, or only one way of several) or "broken"."""
    text: str


@dataclass(frozen=True)
class Report:
    """All findings, in order."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken."""
        return all(finding.state != "broken" for finding in self.findings)

    @property
    def ready(self) -> tuple[str, ...]:
        """Commands that can work with their default models."""
        there = {f.name for f in self.findings if f.section == "weights" and f.state == "ok"}
        return tuple(name for name, models in _NEEDS.items() if self.healthy and there.issuperset(models))

    def __str__(self) -> str:
        marks = {"ok": "+", "missing": "-", "broken": "!"}
        width = max(len(finding.name) for finding in self.findings) + 2
        lines = []
        section = ""
        for finding in self.findings:
            if finding.section != section:
                section = finding.section
                lines.append(f"{section}")
            lines.append(f"  {marks[finding.state]} {finding.name:{width}}{finding.text}")
        verdict = f"ready for: {', '.join(self.ready)}"
        if not self.healthy:
            verdict = "not ready: mend the lines marked with !"
        return "\n".join([*lines, verdict])


def doctor() -> Report:
    """Looks at this installation: packages, device, precision, video codecs, weights, extras."""
    return Report(
        (*_packages(), *_machine(), *_codecs(), *_weights(), *_extras()),
    )


def _packages() -> Iterator[Finding]:
    where = Path(headgen.__file__).parent
    yield Finding("packages", "headgen", "ok", f"{headgen.__version__} in {where}")
    yield Finding("packages", "python", "ok", platform.python_version())
    for name in _CORE:
        try:
            yield Finding("packages", name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding("packages", name, "broken", f"missing; pip install {name}")


def _machine() -> Iterator[Finding]:
    memory = _memory_gigabytes()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    size = f", {memory:.0f} GB memory" if memory else ""
    yield Finding("machine", "processor", "ok", f"{processor()}, {cores} cores{size}")
    if util.find_spec("torch") is None:
        return
    import torch

    from headgen.nn.precision import has_bfloat16, resolve_device

    device = resolve_device()
    name = f" ({torch.cuda.get_device_name()})" if device.type == "cuda" else ""
    yield Finding("machine", "device", "ok", f"{device}{name}")
    if has_bfloat16(device):
        yield Finding("machine", "precision", "ok", "bfloat16 in hardware")
    else:
        yield Finding("machine", "precision", "ok", "float32 (no bfloat16 arithmetic in hardware)")


def _codecs() -> Iterator[Finding]:
    if util.find_spec("av") is None:
        return
    import av

    yield Finding("video", "ffmpeg", "ok", f"{av.ffmpeg_version_info} inside av {av.__version__}")
    for name, mode in _CODECS:
        verb = "reads" if mode == "r" else "writes"
        try:
            av.Codec(name, mode)  # type: ignore[arg-type]  # a Literal
            yield Finding("video", name, "ok", verb)
        except ValueError:
            needed = mode == "w"
            text = (
                f"cannot be {'written' if needed else 'read'}; install the av wheel of PyPI: pip install av"
            )
            yield Finding("video", name, "broken" if needed else "missing", text)


def _weights() -> Iterator[Finding]:
    try:
        table = hub.list_models()
    except HeadgenError as error:
        yield Finding("weights", "manifest", "broken", str(error))
        return
    for model, state in zip(table.models, table.states, strict=True):
        if state == "ready":
            yield Finding("weights", model.name, "ok", f"verified in {model.folder}")
        elif model.embedded:
            yield Finding("weights", model.name, "broken", f"{state}; install headgen again")
        else:
            yield Finding("weights", model.name, "missing", f"{state}; {model.remedy}")


def _extras() -> Iterator[Finding]:
    for extra, (purpose, modules) in EXTRAS.items():
        absent = [name for name in modules if util.find_spec(name) is None]
        if absent:
            text = f"{purpose}: {', '.join(absent)} not installed; pip install 'headgen[{extra}]'"
            yield Finding("extras", extra, "missing", text)
        else:
            yield Finding("extras", extra, "ok", purpose)


def _memory_gigabytes() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return 0.0
