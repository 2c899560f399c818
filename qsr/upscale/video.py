"""Videos, frame by frame; sound and subtitles are copied as they are (PyAV, extra `video`).

The frames' own times are kept, so that a variable frame rate stays one. The pictures are coded anew: H.264, in WebM VP9.
8 bits per channel; a frame that the camera turned is turned. Other streams (chapters' pictures, data) stay behind.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from qsr.data.image import HOW_TO_RAISE, pixel_limit
from qsr.errors import DataError, EnvironmentFault
from qsr.quantities import raised
from qsr.upscale.enlarge import Network, Tick, Way, enlarge, silent

# Suffix -> FFmpeg's demuxer: it is named, so that no playlist with the suffix of a video can make FFmpeg open other
# files or addresses; that is also why it gets an open file and never a name.
DEMUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "matroska", ".avi": "avi"}
MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
CODECS = {".webm": ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1"})}
H264 = ("libx264", {"crf": "17", "preset": "medium"})
COPIED = ("audio", "subtitle")
WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG)
UNKNOWN, BT709, BT601 = 2, 1, 6  # of ITU-T H.273, matrix coefficients
HD_HEIGHT = 720  # from there on a video that does not say is BT.709
EXACTLY = 0x4 | 0x2000 | 0x4000 | 0x40000  # swscale: bicubic, colours at full width, rounded; the default darkens by 2 / 255
MARK = "comment"
MAX_FRAMES = 2_000_000  # nine hours at 60 a second; a few bytes of a file can say "the same once more" for days
MAX_FRAMES_EVER = 1 << 40
VARIABLE = "QSR_MAX_FRAMES"


def library() -> Any:
    """PyAV, or an EnvironmentFault that says how to get it."""
    try:
        import av
    except ImportError as fault:
        raise EnvironmentFault("videos need PyAV, which is not installed", hint="pip install 'qsr[video]'") from fault
    av.logging.set_level(av.logging.PANIC)  # what is wrong with a file is said once, in our error
    return av


def upscale_video(
    network: Network, source: Path, handle: BinaryIO, suffix: str, mark: str, way: Way, tick: Tick = silent
) -> tuple[int, int, int]:
    """Write the enlarged video to `handle`; (frames, height, width) of it. tick: pixels done, after each frame.

    Raises DataError for a video that cannot be read to its end, OSError where writing fails, EnvironmentFault without PyAV.
    """
    av = library()
    try:
        with ExitStack() as stack:
            read = stack.enter_context(_opened(av, stack, source))
            made = stack.enter_context(av.open(handle, "w", format=MUXERS[suffix]))
            return _Recoding(av, read, made, suffix, mark)(lambda rgb: enlarge(network, rgb, way, tick))
    except (av.FFmpegError, OSError, ValueError) as fault:
        # FFmpeg's errors are OSErrors too; these of the system can only have come from writing
        if isinstance(fault, OSError) and fault.errno in WRITING:
            raise OSError(fault.errno, fault.strerror) from fault
        text = getattr(fault, "strerror", None) or str(fault)
        raise DataError(f"cannot recode: {text}", where=str(source), hint="replace or remove the file") from fault


def video_mark(path: Path) -> str | None:
    """The mark in a video that is there already, None for any other file."""
    av = library()
    try:
        with ExitStack() as stack:
            texts = stack.enter_context(_opened(av, stack, path)).metadata
            text = next((value for key, value in texts.items() if key.lower() == MARK), "")  # Matroska writes COMMENT
    except (av.FFmpegError, OSError, ValueError, DataError):
        return None
    return text.removeprefix("qsr ") if text.startswith("qsr ") else None


def frame_limit() -> int:
    """MAX_FRAMES, or what $QSR_MAX_FRAMES says instead."""
    return raised(MAX_FRAMES, VARIABLE, MAX_FRAMES_EVER)


def _opened(av: Any, stack: ExitStack, path: Path) -> Any:
    try:
        stack.enter_context(handle := path.open("rb"))
    except OSError as fault:
        raise DataError(f"cannot read: {fault.strerror}", where=str(path)) from fault
    return av.open(handle, "r", format=DEMUXERS[path.suffix.lower()])


def _picture_stream(container: Any, path: Path) -> Any:
    if not container.streams.video:
        raise DataError("no pictures in this video", where=str(path))
    return container.streams.video[0]


class _Recoding:
    """One video: its streams side by side, the pictures through the network."""

    def __init__(self, av: Any, read: Any, made: Any, suffix: str, mark: str) -> None:
        self._av, self._read, self._made, self._suffix = av, read, made, suffix
        self._pictures = _picture_stream(read, Path(str(read.name)))
        self._pictures.thread_type = "AUTO"
        made.metadata.update({**read.metadata, MARK: f"qsr {mark}"})
        self._sources = [stream for stream in read.streams if stream.type in COPIED]
        self._copies: dict[int, Any] = {}
        self._out: Any = None
        self._frames, self._most = 0, frame_limit()
        self._check_size()

    def _check_size(self) -> None:
        """Before anything is decoded, as for pictures."""
        context, most = self._pictures.codec_context, pixel_limit()
        if context.width * context.height > most:
            found = f"{context.width} x {context.height} pixels are more than the limit of {most:,}"
            raise DataError(found, where=str(self._read.name), hint=HOW_TO_RAISE)

    def __call__(self, larger: Callable[[np.ndarray], np.ndarray]) -> tuple[int, int, int]:
        # all streams have to be there before the first packet of any is written: sound waits for the first frame
        waiting: list[Any] = []
        for packet in self._read.demux([self._pictures, *self._sources]):
            if packet.is_corrupt:
                raise DataError("damaged or cut short", where=str(self._read.name))
            if packet.stream is self._pictures:
                for frame in packet.decode():
                    self._picture(frame, larger)
            elif packet.dts is not None:  # None: the empty packet at a stream's end
                waiting.append(packet)
            if self._out is not None:
                for kept in waiting:
                    kept.stream = self._copies[kept.stream.index]
                    self._made.mux(kept)
                waiting.clear()
        if self._out is None:
            raise DataError("no pictures in this video", where=str(self._read.name))
        self._made.mux(self._out.encode(None))
        return self._frames, self._out.height, self._out.width

    def _picture(self, frame: Any, larger: Callable[[np.ndarray], np.ndarray]) -> None:
        if self._frames >= self._most:
            hint = f"cut it into parts, or set {VARIABLE}=NUMBER"
            raise DataError(f"more than {self._most:,} frames", where=str(self._read.name), hint=hint)
        matrix = int(frame.colorspace)
        matrix = matrix if matrix != UNKNOWN else BT709 if frame.height >= HD_HEIGHT else BT601
        rgb = frame.reformat(format="rgb24", src_colorspace=matrix, interpolation=EXACTLY).to_ndarray()
        turned = np.rot90(rgb, round(frame.rotation / 90) % 4)
        result = larger(np.ascontiguousarray(turned))
        result = np.pad(result, ((0, result.shape[0] % 2), (0, result.shape[1] % 2), (0, 0)), mode="edge")
        if self._out is None:
            self._open_encoder(frame, result.shape, matrix)
        made = self._av.VideoFrame.from_ndarray(result, format="rgb24")
        made = made.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=1, interpolation=EXACTLY)
        made.pts, made.time_base = frame.pts, frame.time_base
        self._made.mux(self._out.encode(made))
        self._frames += 1

    def _open_encoder(self, frame: Any, shape: tuple[int, ...], matrix: int) -> None:
        name, options = CODECS.get(self._suffix, H264)
        self._out = out = self._made.add_stream(name, rate=self._pictures.average_rate or 25, options=dict(options))
        out.height, out.width, out.pix_fmt = shape[0], shape[1], "yuv420p"
        context, source = out.codec_context, self._pictures.codec_context
        context.time_base = frame.time_base
        out.time_base = frame.time_base
        context.colorspace, context.color_range = matrix, 1
        context.color_primaries, context.color_trc = source.color_primaries, source.color_trc
        if source.sample_aspect_ratio:
            context.sample_aspect_ratio = source.sample_aspect_ratio
        for stream in self._sources:
            copy = self._copies[stream.index] = self._made.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
