"""The mouth for recorded speech, whose phones nobody knows: from the energy and the spectrum of the sound.

What can be heard of a mouth without recognising words: a loud voice comes from an open one; the first
formant rises with the opening of the jaw, the second falls when the lips are rounded and rises when they are
spread; hissing needs the teeth close to each other; a short dip of the voice between two vowels is a closure
of the lips or the tongue. Energies of bands stand for the formants (our design: tracking formants fails in
noise, bands degrade gently). Everything is relative to the recording's own loud voice, so that gain and
microphone do not matter. The file is at hand, so nothing here needs to be causal but the pitch (see
`Speech`).

Legend: N samples, M values at `CONTROL_RATE`, T frames.
"""

from __future__ import annotations

from pathlib import Path

import av
import av.error
import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from headgen.errors import InputError
from headgen.synth.heads.expressions import EXPRESSIONS
from headgen.synth.speech.prosody import pitch_and_loudness
from headgen.synth.speech.track import CONTROL_RATE, SAMPLE_RATE, Speech
from headgen.synth.speech.visemes import MouthStyle, set_shape

__all__ = ["recorded_speech", "spectrum_to_expression"]

WINDOW = 400
"""Samples (25 ms) of one spectrum."""
RANGE = 32.0
"""Decibels between a loud vowel and what counts as silence."""
SILENT = 1e-3
"""Loudness that no speech stays below; what is quieter throughout moves no mouth."""


def recorded_speech(path: Path) -> Speech:
    """Reads speech from a sound or video file.

    Args:
        path: any container with sound; several channels are mixed.

    Returns:
        without phones and words.

    Raises:
        InputError: there is no such file, it has no sound, or the sound is damaged.
    """
    samples = _decoded(Path(path))
    return Speech(samples, (), (), *pitch_and_loudness(samples))


def spectrum_to_expression(
    speech: Speech, fps: float, style: MouthStyle | None = None, frames: int | None = None
) -> np.ndarray:
    """Moves the mouth with any speech.

    Args:
        speech: phones are not looked at.
        fps: frames/s; frame k shows the moment ``k / fps``.
        style: how the person articulates; None for the usual.
        frames: number of frames; None for those of the speech.

    Returns:
        (T, 52) float32 from 0 to 1, the mouth's shapes only.
    """
    style = style or MouthStyle()
    count = round(speech.duration * fps) if frames is None else frames
    out = np.zeros((count, len(EXPRESSIONS)), np.float32)
    if speech.loudness.max(initial=0) < SILENT:
        return out
    times = np.clip(np.arange(count) / fps * CONTROL_RATE - 0.5, 0, len(speech.loudness) - 1)
    grid = np.arange(len(speech.loudness))
    for name, values in _shapes(speech, style).items():
        set_shape(out, name, np.interp(times, grid, values), style.asymmetry)
    return out


def _shapes(speech: Speech, style: MouthStyle) -> dict[str, np.ndarray]:
    """(M,) coefficients by shape.

    Our design: the constants were set by hand, by the phones of synthetic speech and a few tracked faces of
    people who talk: the lips' gap varies as much and as fast as theirs, but is smaller on average.
    """
    power, hertz = _spectra(speech.samples, len(speech.loudness))

    def band(low: float, high: float) -> np.ndarray:
        return power[:, (hertz >= low) & (hertz < high)].sum(1) + 1e-12

    voice = 10 * np.log10(band(200, 4000))
    loudest = np.percentile(voice[voice > voice.max() - RANGE], 90)  # however long the silences
    level = np.clip(1 + (voice - loudest) / RANGE, 0, 1.15)  # 0: silence, 1: a loud vowel
    vowel = level > 0.55
    height = np.log2(_centroid(power, hertz, 200, 1100))
    height -= np.median(height[vowel])  # octaves that the first formant lies above this voice's usual
    front = np.log2(_centroid(power, hertz, 700, 2800))
    front -= np.median(front[vowel])
    hiss = band(3500, 8000) / (band(3500, 8000) + band(200, 3500))
    hiss = np.clip((hiss - 0.25) / 0.4, 0, 1) * np.clip((level - 0.1) / 0.2, 0, 1)

    around = np.minimum(_ahead(level, 14), _ahead(level[::-1], 14)[::-1])  # louder on both sides
    dip = np.clip((around - level - 0.16) / 0.2, 0, 1) * (1 - hiss)
    dip = gaussian_filter1d(maximum_filter1d(dip, 3), 1.5)

    speaking = gaussian_filter1d((level > 0.3).astype(np.float64), 8)
    level, height, front = (gaussian_filter1d(v, 4.5) for v in (level, height * vowel, front * vowel))
    loud = np.clip((level - 0.1) / 0.9, 0, 1.1)
    opening = loud * np.clip(1 + 0.8 * height, 0.4, 1.7)
    rounded = np.clip(-1.6 * front - 0.1, 0, 1) * np.clip(loud * 1.5, 0, 1)
    spread = np.clip(1.2 * front, 0, 1) * np.clip(loud * 1.5, 0, 1)
    hiss = gaussian_filter1d(hiss, 1.5)

    jaw = (
        (0.04 * speaking + 0.30 * opening) * (1 - 0.75 * hiss) * (1 - 0.6 * dip) * style.jaw * style.strength
    )
    apart = (1 - 0.7 * dip) * style.lips * style.strength
    return {
        "jawOpen": jaw,
        "mouthClose": 0.75 * dip * jaw,
        "mouthLowerDown": (0.1 * speaking + 0.18 * np.clip(opening, 0, 1) + 0.22 * hiss)
        * apart
        * (1 - 0.5 * rounded),
        "mouthUpperUp": (0.11 * np.clip(opening, 0, 1) + 0.08 * hiss) * apart * (1 - 0.5 * rounded),
        "mouthFunnel": 0.34 * rounded * style.rounding * style.strength,
        "mouthPucker": 0.30 * rounded * style.rounding * style.strength,
        "mouthStretch": (0.24 * spread + 0.1 * hiss) * style.spreading * style.strength,
        "mouthSmile": 0.12 * spread * style.spreading * style.strength,
        "mouthPress": 0.6 * style.press * dip,
    }


def _spectra(samples: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Power (M, 257) in the middle of each hundredth of a second, and the frequencies (257,) in Hz."""
    hop = SAMPLE_RATE // CONTROL_RATE
    padded = np.pad(np.asarray(samples, np.float32), WINDOW)
    first = WINDOW + hop // 2 - WINDOW // 2
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[first::hop][:count]
    taper = np.hanning(WINDOW).astype(np.float32)
    parts = [
        np.abs(np.fft.rfft(windows[k : k + 4000] * taper, 512)).astype(np.float32) ** 2
        for k in range(0, count, 4000)
    ]
    return np.concatenate(parts), np.fft.rfftfreq(512, 1 / SAMPLE_RATE)


def _centroid(power: np.ndarray, hertz: np.ndarray, low: float, high: float) -> np.ndarray:
    inside = (hertz >= low) & (hertz < high)
    amplitude = np.sqrt(power[:, inside]) + 1e-9
    return (amplitude * hertz[inside]).sum(1) / amplitude.sum(1)


def _ahead(values: np.ndarray, count: int) -> np.ndarray:
    """Largest of the next `count` values and the present one."""
    return maximum_filter1d(values, count + 1, mode="nearest", origin=-((count + 1) // 2))


def _decoded(path: Path) -> np.ndarray:
    """(N,) float32 samples at `SAMPLE_RATE`, all channels mixed."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a sound or video file")
    parts = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise InputError(f"{path}: there is no sound in it; give a file with speech")
            resampler = av.AudioResampler(
                "fltp", rate=SAMPLE_RATE
            )  # its own mix to mono would be 3 dB too loud
            for frame in container.decode(container.streams.audio[0]):
                parts += [part.to_ndarray().mean(0) for part in resampler.resample(frame)]
            parts += [part.to_ndarray().mean(0) for part in resampler.resample(None)]
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path}: its sound cannot be read; copy or export the file again") from error
    if not parts:
        raise InputError(f"{path}: its sound is empty; give a file with speech")
    return np.clip(np.concatenate(parts), -1, 1).astype(np.float32)
