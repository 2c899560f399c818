"""Videos: frames enlarged at their times, sound copied bit for bit."""

from __future__ import annotations

import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upscale_fakes import Nearest

from qsr.errors import DataError, EnvironmentFault
from qsr.upscale.enlarge import Way
from qsr.upscale.names import VIDEOS
from qsr.upscale.video import library, upscale_video, video_mark

try:
    import av
except ImportError:
    av = None
needs_av = pytest.mark.skipif(av is None, reason="PyAV is not installed: pip install 'qsr[video]'")
FRAMES, HEIGHT, WIDTH = 10, 48, 64
LEFT, RIGHT = (20, 60, 180), (200, 60, 30)
CODECS = {".mp4": ("mp4", "libx264", "aac"), ".mov": ("mov", "libx264", "aac"), ".mkv": ("matroska", "libx264", "libopus"),
          ".webm": ("webm", "libvpx-vp9", "libopus"), ".avi": ("avi", "mpeg4", "libmp3lame")}  # fmt: skip


def film(path: Path, sound: bool = True, times: list[int] | None = None, matrix: int | None = None) -> Path:
    """Ten frames at 25 a second, or at `times` (25ths): blue growing over red from the left; a tone of 440 Hz."""
    form, video_codec, audio_codec = CODECS[path.suffix]
    with av.open(str(path), "w", format=form) as made:
        pictures = made.add_stream(video_codec, rate=25)
        pictures.height, pictures.width, pictures.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        tones = made.add_stream(audio_codec, rate=48000, layout="mono") if sound else None
        for i in range(FRAMES):
            rgb = np.full((HEIGHT, WIDTH, 3), RIGHT, np.uint8)
            rgb[:, : 4 * i + 4] = LEFT
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            if matrix is not None:
                pictures.codec_context.colorspace = matrix
                frame = frame.reformat(format="yuv420p", dst_colorspace=matrix)
            frame.pts, frame.time_base = times[i] if times else i, Fraction(1, 25)
            made.mux(pictures.encode(frame))
        made.mux(pictures.encode(None))
        for i in range(20 if sound else 0):
            wave = np.sin(np.arange(1024 * i, 1024 * (i + 1)) * 2 * np.pi * 440 / 48000) * 0.3
            frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, 1024 * i
            made.mux(tones.encode(frame))
        if tones is not None:
            made.mux(tones.encode(None))
    return path


def enlarged(network: Nearest, source: Path, target: Path) -> tuple[int, int, int]:
    with open(target, "w+b") as handle:
        return upscale_video(network, source, handle, target.suffix, "x2, model abc", Way())


def frames(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as read:
        return [(float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24")) for frame in read.decode(video=0)]


def sound(path: Path) -> list[Any]:
    with av.open(str(path)) as read:
        return [bytes(packet) for packet in read.demux(audio=0) if packet.size]


@needs_av
@pytest.mark.parametrize("suffix", CODECS)
def test_frames_times_and_sound(network: Nearest, tmp_path: Path, suffix: str) -> None:
    source, target = film(tmp_path / f"a{suffix}"), tmp_path / f"b{VIDEOS[suffix]}"
    assert enlarged(network, source, target) == (FRAMES, 2 * HEIGHT, 2 * WIDTH)
    before, after = frames(source), frames(target)
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=0.0011)  # Matroska: milliseconds
    for (_, small), (_, large) in zip(before, after, strict=True):
        assert large.shape == (2 * HEIGHT, 2 * WIDTH, 3)
        assert np.abs(large[::2, ::2].astype(int) - small).mean() < 4
    assert sound(target) == sound(source)
    assert len(sound(source)) > 10
    assert video_mark(target) == "x2, model abc"
    assert video_mark(source) is None


@needs_av
def test_a_changing_frame_rate_stays_one(network: Nearest, tmp_path: Path) -> None:
    times = [0, 1, 2, 5, 6, 10, 11, 12, 20, 21]
    enlarged(network, film(tmp_path / "a.mp4", times=times), tmp_path / "b.mp4")
    assert [round(25 * time) for time, _ in frames(tmp_path / "b.mp4")] == times


@needs_av
@pytest.mark.parametrize("matrix", [1, 6])
def test_colours_are_not_shifted(network: Nearest, tmp_path: Path, matrix: int) -> None:
    source = film(tmp_path / "a.mp4", sound=False, matrix=matrix)
    enlarged(network, source, tmp_path / "b.mp4")
    first = frames(tmp_path / "b.mp4")[0][1]
    assert np.abs(first[20, 100].astype(int) - RIGHT).max() <= 4
    with av.open(str(tmp_path / "b.mp4")) as read:
        assert int(next(read.decode(video=0)).colorspace) == matrix


@needs_av
@pytest.mark.parametrize(("a", "b", "turns"), [(0, 1, 3), (-1, 0, 2), (0, -1, 1)])
def test_frames_that_the_camera_turned_are_upright(network: Nearest, tmp_path: Path, a: int, b: int, turns: int) -> None:
    source = film(tmp_path / "a.mp4", sound=False)
    stored = frames(source)[-1][1]
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 44  # the matrix of the track's header: (x, y) -> (a x - b y, b x + a y), y down
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    source.write_bytes(data)
    enlarged(network, source, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as read:
        assert next(read.decode(video=0)).rotation == 0
    upright = np.rot90(stored, turns)
    assert np.abs(frames(tmp_path / "b.mp4")[-1][1][::2, ::2].astype(int) - upright).mean() < 4


@needs_av
def test_the_suffix_names_the_container(network: Nearest, tmp_path: Path) -> None:
    film(tmp_path / "a.mkv").rename(tmp_path / "a.mp4")
    with pytest.raises(DataError, match="cannot recode"):
        enlarged(network, tmp_path / "a.mp4", tmp_path / "b.mp4")


@needs_av
def test_odd_sizes_become_even(tmp_path: Path) -> None:
    network = Nearest(3)
    with av.open(str(tmp_path / "a.mkv"), "w") as made:
        stream = made.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 15, 17, "bgr0"
        made.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((15, 17, 3), np.uint8), format="rgb24")))
        made.mux(stream.encode(None))
    assert enlarged(network, tmp_path / "a.mkv", tmp_path / "b.mkv") == (1, 46, 52)


@needs_av
@pytest.mark.parametrize("content", [b"", b"no video", b"ffconcat version 1.0\nfile secret.mp4\n", b"#EXTM3U\nhttp://a/b.ts\n"])
def test_other_files_are_refused(network: Nearest, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DataError, match="a.mp4: cannot recode"):
        enlarged(network, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert video_mark(tmp_path / "a.mp4") is None
    with pytest.raises(DataError, match="gone.mp4: cannot read: No such file"):
        enlarged(network, tmp_path / "gone.mp4", tmp_path / "b.mp4")


@needs_av
def test_frames_and_their_pixels_are_limited(network: Nearest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = film(tmp_path / "a.mp4", sound=False), tmp_path / "b.mp4"
    monkeypatch.setenv("QSR_MAX_FRAMES", str(FRAMES))
    assert enlarged(network, source, target)[0] == FRAMES
    monkeypatch.setenv("QSR_MAX_FRAMES", str(FRAMES - 1))
    with pytest.raises(DataError, match=r"a.mp4: more than 9 frames \(cut it into parts, or set QSR_MAX_FRAMES=NUMBER\)"):
        enlarged(network, source, target)
    monkeypatch.setenv("QSR_MAX_PIXELS", str(WIDTH * HEIGHT - 1))
    network.seen.clear()
    with pytest.raises(DataError, match=f"{WIDTH} x {HEIGHT} pixels are more than the limit of .*QSR_MAX_PIXELS=NUMBER"):
        enlarged(network, source, target)
    assert network.seen == []


@needs_av
def test_a_cut_video_is_refused(network: Nearest, tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(DataError, match="cannot recode"):
        enlarged(network, source, tmp_path / "b.mp4")


@needs_av
def test_sound_alone_is_no_video(network: Nearest, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as made:
        stream = made.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    with pytest.raises(DataError, match="no pictures in this video"):
        enlarged(network, tmp_path / "a.mkv", tmp_path / "b.mkv")


@needs_av
def test_a_full_disk_is_the_disks_fault_and_ours_stays_ours(network: Nearest, tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4")
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb", buffering=0) as full:
        upscale_video(network, source, full, ".mkv", "mark", Way())
    network.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        enlarged(network, source, tmp_path / "b.mp4")


def test_without_pyav_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(EnvironmentFault, match=r"qsr\[video\]"):
        library()
