"""Spot checks by hand; agreement with the other backends is tested in test_bits.py and test_reference.py."""

from __future__ import annotations

import numpy as np

from qsr.runtime import numpy_kernels


def test_a_stream_by_hand() -> None:
    codes = np.array([-2, 1, -1], np.int16)  # 110 001 111, least significant bit first
    stream = numpy_kernels.pack_bits(codes, 3, True)
    assert stream.tolist() == [0b11_001_110, 0b1]
    assert numpy_kernels.unpack_bits(stream, 3, 3, True).tolist() == [-2, 1, -1]
    assert numpy_kernels.unpack_bits(stream, 3, 3, False).tolist() == [6, 1, 7]


def test_a_convolution_by_hand() -> None:
    codes = np.array([[1, 2], [3, 4]], np.uint8).reshape(1, 1, 2, 2)
    weights = np.array([[-1, 2]], np.int8).reshape(1, 1, 1, 2)
    assert numpy_kernels.conv2d(codes, weights, 1, 0).ravel().tolist() == [3, 5]
    assert numpy_kernels.conv2d(codes, weights, 2, 1).tolist() == [[[[0, 0], [6, -4]]]]
