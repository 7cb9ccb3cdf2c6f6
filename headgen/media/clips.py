"""The data set of face clips: how it lies on disk, one writer and one reader.

A data set is a folder::

    DIR/index.json                 what is in it; written last
    DIR/clips/NAME.mp4             H.264, every frame a key frame, one square crop for the whole clip
    DIR/clips/NAME.safetensors     "landmarks" (T, 478, 3) and "motion" (T, K); the clip's facts as metadata

A clip shows one identity in one fixed crop of ``size`` x ``size`` pixels. Landmarks are in pixels of that
crop: (0, 0) is the first pixel's centre, z on the scale of x, towards the camera negative. Motion holds K
named coefficients per frame (K may be 0).

A clip is finished once its ``.safetensors`` exists: it is renamed into place after the video. So a run that
was killed leaves whole clips and ``.part`` files, can go on with `clip_exists`, and ends with `write_index`,
which reads the facts back from the clips themselves.

API::

    with ClipWriter(DIR, "anna_0003", fps=25, identity="anna") as writer:      # streamed, one frame in memory
        writer.write(image, landmarks, motion)
    write_clip(DIR, "anna_0003", frames, landmarks, fps=25, identity="anna")    # the same for whole arrays
    write_index(DIR)                                                            # once, at the end
    frames, landmarks = read_clip(DIR, "anna_0003")                             # a whole clip
    store = ClipStore(DIR, split="train", cache=True)                           # random access to many clips
    store.infos[0].identity, store.frames(0, [3, 17]), store.landmarks(0), store.motion(0), store.motion_names
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from safetensors import SafetensorError, safe_open

from headgen.errors import InputError
from headgen.media.tensors import write_tensors

VERSION = 1
LANDMARKS = 478
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ClipInfo:
    """Facts of one clip, as they stand in the index."""

    name: str
    """File name without its ending."""
    frames: int
    """Number of frames."""
    fps: float
    """Frames per second."""
    identity: str
    """Who is shown; clips of one identity are never divided between splits."""
    split: str = "train"
    """One of `SPLITS`."""
    size: int = 256
    """Side of the square crop in pixels."""
    extra: dict[str, str] = field(default_factory=dict)
    """Whatever the maker wants to remember (where the clip came from, which frames)."""


def _paths(directory: Path, name: str) -> tuple[Path, Path]:
    if not name or name != Path(name).name or name.startswith("."):
        raise ValueError(f"clip name {name!r} is not a plain file name")
    clips = Path(directory) / "clips"
    return clips / f"{name}.mp4", clips / f"{name}.safetensors"


def clip_exists(directory: Path, name: str) -> bool:
    """Whether the clip is finished (both files are in place)."""
    return all(path.is_file() for path in _paths(directory, name))


class ClipWriter:
    """Writes one clip frame by frame; a context manager.

    Nothing is visible under the final names before `close`; on an exception (Ctrl-C too) the partial files
    go away.

    Args:
        directory: the data set's folder; made if it does not exist.
        name: file name of the clip, without ending.
        fps: frames per second, only for whoever plays the video.
        size: side of the square frames in pixels (even).
        identity: who is shown; the clip's name if not given.
        split: one of `SPLITS`.
        motion_names: names of the K motion coefficients.
        crf: H.264 quality (10 is visually lossless).
        extra: facts to remember, text to text.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        fps: float | Fraction = 25,
        size: int = 256,
        identity: str | None = None,
        split: str = "train",
        motion_names: Sequence[str] = (),
        crf: float = 10,
        extra: dict[str, str] | None = None,
    ) -> None:
        self.video_path, self.data_path = _paths(directory, name)
        self.video_path.parent.mkdir(parents=True, exist_ok=True)
        self.name, self.size, self.split, self.extra = name, size, split, dict(extra or {})
        self.identity = name if identity is None else identity
        self.motion_names = tuple(motion_names)
        self.fps = Fraction(fps).limit_denominator(1001)
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}: choose one of {', '.join(SPLITS)}")
        self._landmarks: list[np.ndarray] = []
        self._motion: list[np.ndarray] = []
        self._part = self.video_path.with_suffix(".mp4.part")
        self._container = av.open(str(self._part), "w", format="mp4")
        stream = self._container.add_stream("libx264", rate=self.fps)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 1
        stream.codec_context.thread_count = 1  # frames are small, and writers run side by side
        stream.options = {"crf": str(crf), "preset": "veryfast", "bf": "0"}
        self._stream = stream

    def __len__(self) -> int:
        return len(self._landmarks)

    def write(self, image: np.ndarray, landmarks: np.ndarray, motion: np.ndarray | None = None) -> None:
        """Append one frame.

        Args:
            image: (size, size, 3) uint8 RGB.
            landmarks: (478, 3) pixels of the crop.
            motion: (K,) coefficients in the order of ``motion_names``; may be left out if there are none.
        """
        values = np.zeros(0, np.float32) if motion is None else np.asarray(motion, np.float32)
        if image.shape != (self.size, self.size, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"frame is {image.dtype} {image.shape}, expected uint8 ({self.size}, {self.size}, 3)"
            )
        if np.shape(landmarks) != (LANDMARKS, 3):
            raise ValueError(f"landmarks are {np.shape(landmarks)}, expected ({LANDMARKS}, 3)")
        if values.shape != (len(self.motion_names),):
            raise ValueError(f"motion is {values.shape}, expected ({len(self.motion_names)},)")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = len(self._landmarks)
        frame.time_base = 1 / self.fps
        self._container.mux(self._stream.encode(frame))
        self._landmarks.append(np.asarray(landmarks, np.float32))
        self._motion.append(values)

    def close(self) -> None:
        """Finish both files and put them in place.

        Raises:
            ValueError: nothing was written.
        """
        if not self._landmarks:
            self.discard()
            raise ValueError(f"clip {self.name!r} has no frames")
        self._container.mux(self._stream.encode(None))
        self._container.close()
        info = ClipInfo(
            self.name, len(self), float(self.fps), self.identity, self.split, self.size, self.extra
        )
        part = self.data_path.with_suffix(".safetensors.part")
        write_tensors(
            part,
            {"landmarks": np.stack(self._landmarks), "motion": np.stack(self._motion)},
            {"clip": json.dumps(asdict(info)), "motion_names": json.dumps(self.motion_names)},
        )
        os.replace(self._part, self.video_path)
        os.replace(part, self.data_path)

    def discard(self) -> None:
        """Close and remove the partial video."""
        self._container.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def write_clip(
    directory: Path,
    name: str,
    frames: Sequence[np.ndarray] | np.ndarray,
    landmarks: np.ndarray,
    motion: np.ndarray | None = None,
    **options: object,
) -> None:
    """Write a whole clip: frames (T, S, S, 3), landmarks (T, 478, 3), motion (T, K); see `ClipWriter`."""
    if not len(frames) == len(landmarks) == (len(frames) if motion is None else len(motion)):
        raise ValueError(f"clip {name!r}: {len(frames)} frames but {len(landmarks)} landmarks")
    options.setdefault("size", int(frames[0].shape[0]))
    with ClipWriter(directory, name, **options) as writer:  # type: ignore[arg-type]
        for index, frame in enumerate(frames):
            writer.write(frame, landmarks[index], None if motion is None else motion[index])


def _read_data(path: Path) -> tuple[ClipInfo, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Facts, landmarks, motion and motion names of one finished clip."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            info = ClipInfo(**json.loads(metadata["clip"]))
            names = tuple(json.loads(metadata["motion_names"]))
            return info, file.get_tensor("landmarks"), file.get_tensor("motion"), names
    except FileNotFoundError:
        raise InputError(
            f"{path}: not there; is this the folder of a data set, and is the clip finished?"
        ) from None
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a clip of a headgen data set ({error}); make the clip again") from None


def read_info(directory: Path, name: str) -> ClipInfo:
    """Facts of one finished clip (the video is not touched)."""
    return _read_data(_paths(directory, name)[1])[0]


def write_index(directory: Path) -> list[ClipInfo]:
    """Write ``index.json`` from the finished clips of the folder, sorted by name; returns their facts.

    Raises:
        InputError: no finished clip, or clips of different sizes.
    """
    directory = Path(directory)
    infos = [
        read_info(directory, path.stem)
        for path in sorted((directory / "clips").glob("*.safetensors"))
        if clip_exists(directory, path.stem)
    ]
    if not infos:
        raise InputError(f"{directory}: no finished clip, so there is no data set to write an index for")
    sizes = sorted({info.size for info in infos})
    if len(sizes) > 1:
        raise InputError(f"{directory}: clips of different sizes {sizes}; use one folder per size")
    part = directory / "index.json.part"
    content = {"version": VERSION, "size": sizes[0], "clips": [asdict(info) for info in infos]}
    part.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(part, directory / "index.json")
    return infos


def read_index(directory: Path) -> list[ClipInfo]:
    """Facts of all clips.

    Raises:
        InputError: no readable index of this version.
    """
    path = Path(directory) / "index.json"
    try:
        content = json.loads(path.read_text())
        if content["version"] != VERSION:
            raise InputError(
                f"{path}: data set version {content['version']}, {VERSION} is needed; make it again"
            )
        return [ClipInfo(**clip) for clip in content["clips"]]
    except FileNotFoundError:
        raise InputError(
            f"{path}: not there; make a data set with `headgen prepare` (an unfinished one: run it again)"
        ) from None
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path}: not the index of a headgen data set ({error}); run `headgen prepare` again"
        ) from None


def _read_frames(path: Path, info: ClipInfo, wanted: Sequence[int] | None) -> np.ndarray:
    """Decode the wanted frames, or all: (n, size, size, 3) uint8 RGB."""
    indices = range(info.frames) if wanted is None else wanted
    out = np.empty((len(indices), info.size, info.size, 3), np.uint8)
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            assert stream.time_base is not None and stream.average_rate is not None
            tick = 1 / (stream.average_rate * stream.time_base)  # stream time units per frame
            if wanted is None:
                decoded = 0
                for decoded, frame in enumerate(container.decode(stream), start=1):
                    if decoded <= len(out):
                        out[decoded - 1] = frame.to_ndarray(format="rgb24")
                if decoded != len(out):
                    raise InputError(f"{path}: {decoded} frames, expected {len(out)}; make the clip again")
                return out
            for slot, index in enumerate(indices):
                if not 0 <= index < info.frames:
                    raise IndexError(f"frame {index} of clip {info.name!r}, which has {info.frames}")
                container.seek(round(index * tick), stream=stream)
                for frame in container.decode(stream):
                    assert frame.pts is not None
                    if (
                        frame.pts >= (index - 0.5) * tick
                    ):  # every frame is a key frame, so this is the first one
                        out[slot] = frame.to_ndarray(format="rgb24")
                        break
                else:
                    raise InputError(f"{path}: frame {index} is missing; make the clip again")
            return out
    except (av.FFmpegError, IndexError) as error:
        if isinstance(error, IndexError) and wanted is not None:
            raise
        raise InputError(f"{path}: cannot be read ({error}); make the clip again") from None


def read_clip(directory: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A whole clip: frames (T, size, size, 3) uint8 RGB, landmarks (T, 478, 3) float32 in pixels of the crop.

    Raises:
        InputError: a file is missing or damaged.
    """
    video, data = _paths(directory, name)
    info, landmarks, _, _ = _read_data(data)
    return _read_frames(video, info, None), landmarks


class ClipStore:
    """Random access to the frames of all clips of a data set.

    Args:
        directory: the data set's folder.
        split: only clips of this split; all if None.
        cache: decode every frame once into memory, (T, size, size, 3) uint8 per clip, for sets that fit;
            worker processes that are forked afterwards share it. Otherwise the wanted frames are decoded at
            each call, which costs about a millisecond each since every frame is a key frame.

    Raises:
        InputError: no index, no clip of that split, or damaged files.
    """

    def __init__(self, directory: Path, split: str | None = None, *, cache: bool = False) -> None:
        self.directory = Path(directory)
        infos = read_index(self.directory)
        self.infos = [info for info in infos if split is None or info.split == split]
        if not self.infos:
            found = ", ".join(sorted({info.split for info in infos}))
            raise InputError(
                f"{self.directory}: the data set has no clip of split {split!r}; it has: {found}"
            )
        self.size = self.infos[0].size
        data = [_read_data(_paths(self.directory, info.name)[1]) for info in self.infos]
        self._landmarks = [landmarks for _, landmarks, _, _ in data]
        self._motion = [motion for _, _, motion, _ in data]
        self.motion_names = data[0][3]
        self._cache: list[np.ndarray] | None = None
        if cache:
            self._cache = [self._decode(clip, None) for clip in range(len(self.infos))]

    def __len__(self) -> int:
        return len(self.infos)

    def _decode(self, clip: int, indices: Sequence[int] | None) -> np.ndarray:
        info = self.infos[clip]
        return _read_frames(_paths(self.directory, info.name)[0], info, indices)

    def frames(self, clip: int, indices: Sequence[int]) -> np.ndarray:
        """Frames of one clip, (n, size, size, 3) uint8 RGB."""
        if self._cache is not None:
            return self._cache[clip][list(indices)]
        return self._decode(clip, indices)

    def landmarks(self, clip: int) -> np.ndarray:
        """Landmarks of one clip, (T, 478, 3) float32 in pixels of the crop."""
        return self._landmarks[clip]

    def motion(self, clip: int) -> np.ndarray:
        """Motion coefficients of one clip, (T, K) float32 in the order of ``motion_names``."""
        return self._motion[clip]
