"""The compiled extension checks everything again by itself: it trusts no caller."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from qsr.errors import FormatError

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)


def test_refuses_what_python_would_have_refused_before() -> None:
    with pytest.raises(ValueError, match=r"code 1: found 4, expected 0 to 3"):
        extension.pack_bits(np.array([0, 4], np.int16), 2, False)
    with pytest.raises(ValueError, match="bits: found 9, expected 1 to 8"):
        extension.pack_bits(np.array([0], np.int16), 9, False)
    with pytest.raises(ValueError, match="count: found -1"):
        extension.unpack_bits(np.zeros(1, np.uint8), -1, 2, False)
    with pytest.raises(ValueError, match="count: found"):
        extension.unpack_bits(np.zeros(1, np.uint8), 2**62, 8, False)


def test_damaged_data_is_a_format_error() -> None:
    with pytest.raises(FormatError, match=r"found 4 bytes, expected 5 \(13 elements of 3 bits\)"):
        extension.unpack_bits(np.zeros(4, np.uint8), 13, 3, False)
    with pytest.raises(FormatError, match="the 1 padding bits"):
        extension.unpack_bits(np.full(5, 255, np.uint8), 13, 3, False)
    with pytest.raises(FormatError, match="65794 terms x 255 x 128, expected at most 2147483647"):
        extension.conv2d(np.full((1, 65794, 1, 1), 255, np.uint8), np.full((1, 65794, 1, 1), -128, np.int8), 1, 0)


def test_shapes_are_checked() -> None:
    picture, kernel = np.zeros((1, 2, 3, 3), np.uint8), np.zeros((1, 2, 3, 3), np.int8)
    with pytest.raises(ValueError, match="differ in channels"):
        extension.conv2d(picture, np.zeros((1, 3, 3, 3), np.int8), 1, 0)
    with pytest.raises(ValueError, match=r"expected \(N, C, H, W\)"):
        extension.conv2d(picture[0], kernel, 1, 0)
    with pytest.raises(ValueError, match="a 3x3 kernel does not fit into a 2x3 picture with padding 0"):
        extension.conv2d(np.zeros((1, 2, 2, 3), np.uint8), kernel, 1, 0)
    for stride, padding in [(0, 0), (1, -1), (2**62, 0), (1, 2**62)]:
        with pytest.raises(ValueError, match="convolution: found"):
            extension.conv2d(picture, kernel, stride, padding)
    with pytest.raises(ValueError, match="more than 2\\^63 bytes"):
        extension.conv2d(picture, kernel, 1, 2**39)
    with pytest.raises(ValueError, match="found an extent or stride of 0"):
        extension.conv2d(np.zeros((0, 2, 3, 3), np.uint8), kernel, 1, 0)


def test_another_dtype_is_never_converted_silently() -> None:
    with pytest.raises(TypeError):
        extension.conv2d(np.zeros((1, 1, 3, 3), np.float32), np.zeros((1, 1, 3, 3), np.int8), 1, 0)
    with pytest.raises(TypeError):
        extension.pack_bits(np.array([1, 2], np.int64), 2, False)
    with pytest.raises(TypeError):
        extension.unpack_bits(np.zeros((4, 4), np.uint8)[:, 0].view(np.int8), 16, 2, False)


def test_the_interpreter_is_released_while_kernels_run() -> None:
    big = np.ones((1, 64, 128, 128), np.uint8)
    weights = np.ones((32, 64, 3, 3), np.int8)
    worker = threading.Thread(target=extension.conv2d, args=(big, weights, 1, 1))  # some tenths of a second
    worker.start()
    # several of the interpreter's 5 ms turns: a worker that kept the lock would be through before this loop is
    finished = sum(number * number for number in range(400_000))
    still_running = worker.is_alive()
    worker.join()
    assert finished > 0
    assert still_running, "the main thread stood still during the convolution"
