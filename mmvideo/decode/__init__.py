"""Frames and sound of a media, always with the times that its container states.

Frames come from decord where its frame numbers can be trusted, else from PyAV (`timeline` says when and why); sound
comes from ffmpeg. Decoders are imported on first use.
"""

from .frames import frame_at, sample_frames
from .sound import read_audio
from .stream import Stream

__all__ = ["Stream", "frame_at", "read_audio", "sample_frames"]
