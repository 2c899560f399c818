"""Does this machine measure as it should? Eight small picture pairs, twelve protocols, values stored with the package.

`qsr doctor` and the tests run `check`. The pictures come from integer formulas, so they are the same everywhere;
the stored values were confirmed by BasicSR's and scikit-image's metrics (tests/parity/test_metrics_*.py).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from qsr.evaluate.metrics import compare
from qsr.evaluate.protocol import Protocol

FILE = Path(__file__).with_name("golden_metrics.json")
PSNR_TOLERANCE = 1e-9
SSIM_TOLERANCE = 1e-9
CROPS = (0, 2, 3, 4)


def protocols() -> list[Protocol]:
    """Y, rounded Y and RGB, each at four borders."""
    kinds: tuple[dict[str, bool], ...] = ({}, {"round_y": True}, {"y_channel": False})
    return [Protocol(scale=max(crop, 1), crop=crop, **kind) for kind in kinds for crop in CROPS]


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> (output, truth), uint8 RGB of at most 48 pixels a side: smooth, noisy, flat, odd-sized, clipped, ..."""
    noise, ramp = _noise(40, 44, seed=1), _ramp(40, 44)
    checker = np.where((np.indices((32, 32)).sum(0) % 2)[..., None], 255, 0).astype(np.uint8).repeat(3, 2)
    one_off = np.full((24, 24, 3), 128, np.uint8)
    one_off[12, 12] = 129
    soft = _shifted(noise, 1) // 2 + noise // 2
    return {
        "ramp_offset": (np.minimum(ramp, 250) + 5, ramp),
        "ramp_noise": (_clipped(ramp, (noise >> 4).astype(int) - 8), ramp),
        "noise_noise": (noise, _noise(40, 44, seed=2)),
        "noise_blurred": (soft, noise),
        "checker_inverted": (255 - checker, checker),
        "one_pixel": (one_off, np.full((24, 24, 3), 128, np.uint8)),
        "odd_size": (_noise(19, 37, seed=3), _clipped(_noise(19, 37, seed=3), _noise(19, 37, seed=4) // 8)),
        "black_white": (np.zeros((20, 21, 3), np.uint8), np.full((20, 21, 3), 255, np.uint8)),
    }


def measure() -> dict[str, dict[str, list[float | None]]]:
    """Pair -> protocol -> [PSNR, SSIM] as they come out here; a PSNR that is infinite is None, as in JSON."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for name, (output, truth) in pairs().items():
        found[name] = {}
        for protocol in protocols():
            psnr_value, ssim_value = compare(output, truth, protocol)
            found[name][protocol.name] = [psnr_value if np.isfinite(psnr_value) else None, ssim_value]
    return found


def check() -> list[str]:
    """One sentence per value that differs from the stored one; empty on a healthy machine."""
    expected, problems = json.loads(FILE.read_text(encoding="utf-8")), []
    for pair, values in measure().items():
        for protocol, found in values.items():
            wanted = expected[pair][protocol]
            for metric, ours, theirs, tolerance in zip(("PSNR", "SSIM"), found, wanted, (PSNR_TOLERANCE, SSIM_TOLERANCE)):
                same = ours is theirs if ours is None or theirs is None else abs(ours - theirs) <= tolerance
                if not same:
                    problems.append(f"{metric} of {pair} under {protocol}: found {ours}, expected {theirs}")
    return problems


def _noise(height: int, width: int, seed: int) -> np.ndarray:
    """Scrambled positions (a multiplicative hash); depends on nothing but integer arithmetic."""
    position = np.arange(1, height * width * 3 + 1, dtype=np.uint64) + np.uint64(seed * 1_000_003)
    mixed = (position * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    mixed = ((mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    return (mixed >> np.uint64(24)).astype(np.uint8).reshape(height, width, 3)


def _ramp(height: int, width: int) -> np.ndarray:
    rows, columns, channels = np.indices((height, width, 3))
    return ((rows * 3 + columns * 2 + channels * 17) % 256).astype(np.uint8)


def _shifted(picture: np.ndarray, by: int) -> np.ndarray:
    return np.roll(picture, by, axis=1)


def _clipped(picture: np.ndarray, change: np.ndarray) -> np.ndarray:
    return np.clip(picture.astype(int) + change, 0, 255).astype(np.uint8)
