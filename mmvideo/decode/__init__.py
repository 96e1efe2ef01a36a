"""Frames and sound of a media, always with the times that its container states.

Frames come from PyAV, which decodes only what the chosen ones need where the packets tell; should it fail, from decord
where its frame numbers can be trusted (`timeline` says when and why). Sound
comes from ffmpeg. Decoders are imported on first use.
"""

from .frames import chosen_times, frame_at, sample_frames
from .sound import read_audio
from .stream import Stream

__all__ = ["Stream", "chosen_times", "frame_at", "read_audio", "sample_frames"]
