"""Files to frames and back: video, sound, pictures, provenance. No faces, no networks."""

from headgen.media.image import read_image, write_image
from headgen.media.provenance import write_run_record
from headgen.media.video import Frame, VideoInfo, VideoReader, VideoWriter, probe

__all__ = [
    "Frame",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "probe",
    "read_image",
    "write_image",
    "write_run_record",
]
