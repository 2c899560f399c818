"""Round trips, golden bytes and refusals of the canonical layout, for every backend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qsr.errors import FormatError
from qsr.runtime.backend import MODULES, load_kernels
from qsr.runtime.bits import code_range, pack_bits, packed_size, unpack_bits


@st.composite
def coded(draw: st.DrawFn) -> tuple[np.ndarray, int, bool]:
    """Codes of 0 to 70 elements, their bits and sign."""
    bits, signed = draw(st.integers(1, 8)), draw(st.booleans())
    lowest, highest = code_range(bits, signed)
    codes = draw(hnp.arrays(np.int64, st.integers(0, 70), elements=st.integers(lowest, highest)))
    return codes, bits, signed


def available() -> list:
    """The kernels that can be loaded here; numpy's at least."""
    found = []
    for name in MODULES:
        try:
            found.append(load_kernels(name))
        except ImportError:
            assert name != "numpy"
    return found


def agree(codes: np.ndarray, bits: int, signed: bool) -> None:
    """Every backend writes the same bytes, and every backend reads the codes back."""
    given_codes = codes.astype(np.int16)
    streams = [kernels.pack_bits(given_codes, bits, signed) for kernels in available()]
    for stream in streams:
        assert stream.dtype == np.uint8
        assert stream.tobytes() == streams[0].tobytes()
        assert stream.size == -(-codes.size * bits // 8)
    for kernels in available():
        back = kernels.unpack_bits(streams[0], codes.size, bits, signed)
        assert back.dtype == np.int16
        np.testing.assert_array_equal(back, codes)


@pytest.mark.drill("K4")
@settings(max_examples=1000)
@given(coded())
def test_backends_agree_and_round_trip(case: tuple[np.ndarray, int, bool]) -> None:
    """K4."""
    agree(*case)


@pytest.mark.drill("K4")
@pytest.mark.nightly
@settings(max_examples=100_000)
@given(coded())
def test_backends_agree_and_round_trip_long(case: tuple[np.ndarray, int, bool]) -> None:
    agree(*case)


@pytest.mark.drill("K4")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=coded())
def test_public_functions_keep_values_and_sign(every_backend: str, case: tuple[np.ndarray, int, bool]) -> None:
    codes, bits, signed = case
    back = unpack_bits(pack_bits(codes, bits, signed), codes.size, bits, signed)
    assert back.dtype == (np.int8 if signed else np.uint8)
    np.testing.assert_array_equal(back, codes)


@pytest.mark.parametrize(
    ("codes", "bits", "signed", "stream"),
    [
        ([1, 2, 3, 0, 1], 2, False, [0b00_11_10_01, 0b01]),
        ([1, 0, 0, 0, 0, 0, 0, 0, 1], 1, False, [1, 1]),
        ([7, 0, 5], 3, False, [0b01_000_111, 0b1]),  # the third element straddles the byte border
        ([-1, 1, -2, 0], 2, True, [0b00_10_01_11]),
        ([-4, 3, -1], 3, True, [0b11_011_100, 0b1]),
        ([-128, 127], 8, True, [0x80, 0x7F]),
        ([0, -1], 1, True, [0b10]),
        ([], 5, False, []),
    ],
)
def test_golden_bytes(every_backend: str, codes: list[int], bits: int, signed: bool, stream: list[int]) -> None:
    assert pack_bits(np.array(codes, np.int64), bits, signed).tolist() == stream
    assert unpack_bits(np.array(stream, np.uint8), len(codes), bits, signed).tolist() == codes


def test_any_shape_is_packed_in_c_order(every_backend: str) -> None:
    codes = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(unpack_bits(pack_bits(codes.T, 4, False), 12, 4, False), codes.T.ravel())


@pytest.mark.parametrize("change", [-1, 1])
def test_wrong_number_of_bytes_is_refused(every_backend: str, change: int) -> None:
    stream = np.zeros(packed_size(13, 3) + change, np.uint8)
    with pytest.raises(FormatError, match=rf"found {5 + change} bytes, expected 5 \(13 elements of 3 bits\)"):
        unpack_bits(stream, 13, 3, False)


@pytest.mark.parametrize("bit", [5, 6, 7])
def test_padding_bits_must_be_zero(every_backend: str, bit: int) -> None:
    stream = np.array([0xFF, 0b0001_1111 | 1 << bit], np.uint8)  # 13 bits hold elements
    with pytest.raises(FormatError, match="the 3 padding bits behind the last element are not zero"):
        unpack_bits(stream, 13, 1, False)


def test_a_forged_count_costs_no_memory(every_backend: str) -> None:
    with pytest.raises(FormatError, match="bytes, expected"):
        unpack_bits(np.zeros(4, np.uint8), 2**60, 3, False)


@pytest.mark.parametrize(
    ("bits", "signed", "bad"), [(2, False, 4), (2, False, -1), (2, True, 2), (2, True, -3), (8, True, 128)]
)
def test_a_code_out_of_range_is_refused(every_backend: str, bits: int, signed: bool, bad: int) -> None:
    with pytest.raises(ValueError, match="codes: found"):
        pack_bits(np.array([0, bad]), bits, signed)


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_bits_outside_one_to_eight_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"bits: found {bits}, expected 1 to 8"):
        pack_bits(np.zeros(3, np.int8), bits, False)
    with pytest.raises(ValueError, match=rf"bits: found {bits}, expected 1 to 8"):
        unpack_bits(np.zeros(3, np.uint8), 3, bits, False)


def test_arguments_that_are_no_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="found dtype float32"):
        pack_bits(np.zeros(3, np.float32), 2, False)
    with pytest.raises(ValueError, match="count: found -1"):
        unpack_bits(np.zeros(0, np.uint8), -1, 2, False)
    with pytest.raises(ValueError, match="expected a 1-D uint8 array"):
        unpack_bits(np.zeros((1, 1), np.uint8), 4, 2, False)
