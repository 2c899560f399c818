"""Models: files to pictures, tiles and streams equal to one run, depths, threads, who runs, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qsr.errors import DataError, EnvironmentFault, FormatError, OptionsError
from qsr.runtime import load
from qsr.runtime import model as module
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.model import Model
from qsr.runtime.packed.container import write
from tests.runtime.packed.build import conv_net, mixer_net, swin_net

SEED = 17
METHODS = ("w2a2", "w1a1", "w1a1x2p", "w8a8", "w4a4f", "fp")


@pytest.fixture(params=["numpy", ""], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with the interpreter, and with what a user of this machine gets."""
    monkeypatch.setenv("QSR_BACKEND", request.param)
    return request.param


def picture(h: int, w: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, 256, (h, w, 3), np.uint8)


def floats(h: int, w: int) -> np.ndarray:
    return np.random.default_rng(SEED).random((h, w, 3), np.float32)


def bands(x: np.ndarray, rows: int):
    return (x[top : top + rows] for top in range(0, len(x), rows))


# --- files ------------------------------------------------------------------------------------------------------------
def test_from_a_file(tmp_path: Path) -> None:
    header, tensors = conv_net("w2a2", features=8, blocks=1)
    path = tmp_path / "net.qsr"
    write(path, header, tensors)
    net = load(path, threads=1)
    assert net.header == header
    assert (net.scale, net.depths, net.receptive_field, net.whole_picture) == (2, (), 6, False)
    x = picture(6, 7)
    assert np.array_equal(net.upscale(x), Model(header, tensors).upscale(x))
    path.unlink()  # what was read is ours
    assert net.upscale(x).shape == (12, 14, 3)
    assert [row.name for row in net.kernels()] == [op.name for op in header.programs[0].ops if op.op == "conv"]
    with pytest.raises(FormatError, match=r"net.qsr: cannot be read: No such file"):
        load(path)


@pytest.mark.parametrize("threads", [0, -1, 257, True, "2"])
def test_threads(threads) -> None:
    with pytest.raises(OptionsError, match=r"threads: found .*, expected 1 to 256"):
        Model(*conv_net(features=4, blocks=1), threads)


# --- pictures ---------------------------------------------------------------------------------------------------------
@pytest.mark.drill("M2")
@pytest.mark.parametrize(("method", "scale"), [*((method, 2) for method in METHODS), ("w2a2", 3), ("fp", 4)])
def test_tiles_and_streams_equal_one_run(method: str, scale: int) -> None:
    net = Model(*conv_net(method, features=8, blocks=1, scale=scale, seed=SEED))
    for x in (picture(37, 29), floats(23, 31), picture(3, 4)):
        whole = net.upscale(x, tile=None)
        assert whole.dtype == x.dtype
        assert whole.shape == (scale * x.shape[0], scale * x.shape[1], 3)
        for tile in ("auto", 1000, 16, 11 if len(x) > 3 else 1):
            assert same(net.upscale(x, tile), whole, method), tile
        for tile, rows in (("auto", 5), (8, 3), (16, 100), (None, 1)):
            made = list(net.rows(bands(x, rows), x.shape[1], x.shape[0], tile))
            assert same(np.concatenate(made), whole, method)


@pytest.mark.drill("M2")
@pytest.mark.parametrize("method", ["fp", "w1a1", "w1a1x2", "w4a4", "w8a8"])
def test_mixers_in_tiles_and_streams(method: str) -> None:
    """Depthwise sums stay what they are wherever a tile begins; behind the head's float blocks they decide about codes."""
    net = Model(*mixer_net(method, features=24, blocks=3, expansion=3, scale=3, seed=SEED), threads=2)
    for x in (picture(37, 29), picture(3, 4)):
        whole = net.upscale(x, tile=None)
        for tile in ("auto", 16, 11 if len(x) > 3 else 1):
            assert same(net.upscale(x, tile), whole, method), tile
        assert same(np.concatenate(list(net.rows(bands(x, 3), x.shape[1], x.shape[0], 8))), whole, method)


def same(found: np.ndarray, expected: np.ndarray, method: str) -> bool:
    """Bit for bit; full precision to the rounding of Winograd's blocks, where the compiled engine runs."""
    if method != "fp" or isinstance(make(), Interpreter):
        return np.array_equal(found, expected)
    if found.dtype == np.uint8:
        return np.abs(found.astype(int) - expected).max() <= 1
    return np.allclose(found, expected, rtol=0, atol=1e-5)


def make():
    """The executor that runs here."""
    header, tensors = conv_net(features=4, blocks=1)
    return module.make_executor(header, tensors, header.programs[0], None)


@pytest.mark.drill("M2")
def test_codes_behind_float_blocks() -> None:
    """A float convolution in the middle, codes behind it: one last bit that depends on the tile would change a code."""
    net = Model(*conv_net("w2a2", features=32, blocks=1, scale=4, tail="w2a2", seed=SEED))
    x = picture(90, 61)
    whole = net.upscale(x, None)
    for tile in (8, 13, 40):
        assert np.array_equal(net.upscale(x, tile), whole)
    assert np.array_equal(np.concatenate(list(net.rows(bands(x, 9), 61, 90, 24))), whole)


@pytest.mark.drill("M2")
def test_a_small_budget_gives_tiles_and_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Model(*conv_net("w2a2", features=8, blocks=1))
    x = picture(90, 70)
    whole = net.upscale(x)
    budget = net.memory(40, 40)
    monkeypatch.setattr(module, "BUDGET", budget)
    assert net.memory(90, 70, None) > budget >= net.memory(90, 70)
    assert np.array_equal(net.upscale(x), whole)
    assert net.memory(5000, 5000) <= budget
    assert len(list(net.rows(bands(x, 10), 70, 90))) > 1


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_wide_picture_comes_in_low_bands(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    net = Model(*conv_net("w1a1", features=8, blocks=1))
    x = (picture(80, 50) if kind is np.uint8 else floats(80, 50)).astype(kind)
    row = x.itemsize * 3 * 50 * 5
    monkeypatch.setattr(module, "BAND", 24 * row + 1)
    made = list(net.rows(bands(x, 7), 50, 80))
    assert max(len(band) for band in made) <= 2 * 24
    assert same(np.concatenate(made), net.upscale(x, None), "w1a1")


def test_floats_are_clipped_and_agree_with_bytes() -> None:
    net = Model(*conv_net("fp", features=8, blocks=1))
    x = picture(9, 9)
    y = net.upscale(x.astype(np.float32) / 255)
    assert y.min() == 0
    assert y.max() <= 1
    assert np.array_equal(np.rint(y * 255).astype(np.uint8), net.upscale(x))


def test_any_strides_and_read_only() -> None:
    net = Model(*conv_net("w4a4", features=8, blocks=1))
    x = picture(20, 24)
    x.flags.writeable = False
    for view in (x[::2, ::-3], x.transpose(1, 0, 2), x[:, :, ::-1], np.asfortranarray(x)):
        assert np.array_equal(net.upscale(view), net.upscale(np.ascontiguousarray(view)))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 1), (3, 4), (13, 10)])
def test_attention_takes_any_size(size: tuple[int, int]) -> None:
    header, tensors = swin_net("w4a4", features=8, window=4)
    net = Model(header, tensors)
    x = picture(*size)
    from qsr.runtime.feeder import reflected

    padded = x[reflected(size[0], 4)][:, reflected(size[1], 4)]
    expected = Interpreter(header, tensors, header.programs[0]).run(padded, True)[: 2 * size[0], : 2 * size[1]]
    far = np.abs(net.upscale(x).astype(int) - expected)
    assert np.mean(far > 1) < 0.02
    made = np.concatenate(list(net.rows(bands(x, 2), size[1], size[0], None)))
    assert np.array_equal(made, net.upscale(x, None))


def test_tiles_of_attention_are_near_and_the_same_in_a_stream() -> None:
    net = Model(*swin_net("fp", features=8, window=4, layers=6))
    x = picture(70, 50)
    whole, tiles = net.upscale(x, None), net.upscale(x, 18)
    assert not np.array_equal(whole, tiles) or np.abs(whole.astype(int) - tiles).max() == 0
    assert np.abs(whole.astype(int) - tiles).mean() < 1
    assert np.array_equal(np.concatenate(list(net.rows(bands(x, 7), 50, 70, 18))), tiles)


def test_networks_that_see_the_whole_picture_take_no_tiles() -> None:
    net = Model(*conv_net("w1a1m", features=8, blocks=1))
    assert net.whole_picture
    x = picture(20, 30)
    assert np.array_equal(net.upscale(x), net.upscale(x, None))
    assert np.array_equal(net.upscale(x, 30), net.upscale(x))
    with pytest.raises(OptionsError, match="looks at the whole picture at once, tiles of 29 would change"):
        net.upscale(x, 29)
    assert np.array_equal(np.concatenate(list(net.rows(bands(x, 3), 30, 20))), net.upscale(x))


def test_depths() -> None:
    shallow, _ = conv_net("w2a2", features=8, blocks=1)
    header, tensors = conv_net("w2a2", features=8, blocks=2)
    first = shallow.programs[0].ops
    header = replace(header, programs=(replace(header.programs[0], depth=2), replace(shallow.programs[0], depth=1)))
    net = Model(header, tensors)
    assert net.depths == (2, 1)
    x = picture(9, 8)
    assert np.array_equal(net.upscale(x), net.upscale(x, depth=2))
    alone = Model(replace(shallow, programs=(replace(shallow.programs[0], ops=first),)), tensors)
    assert np.array_equal(net.upscale(x, depth=1), alone.upscale(x))
    assert not np.array_equal(net.upscale(x, depth=1), net.upscale(x))
    assert len(net.kernels(1)) == len(net.kernels(2)) - 2
    with pytest.raises(OptionsError, match="depth: found 3, this file has 2, 1"):
        net.upscale(x, depth=3)
    with pytest.raises(OptionsError, match="depth: found 3, this file has no choice of depths"):
        alone.kernels(3)


def test_several_threads_at_once() -> None:
    net = Model(*conv_net("w2a2", features=8, blocks=2), threads=2)
    pictures = [picture(20 + number, 30) for number in range(8)]
    expected = [net.upscale(x) for x in pictures]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(net.upscale, pictures * 3), expected * 3):
            assert np.array_equal(found, wanted)


# --- refusals -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tile", [0, -4, 2.5, "big", True])
def test_tiles_that_cannot_be(tile) -> None:
    net = Model(*conv_net(features=4, blocks=1))
    with pytest.raises(OptionsError, match="tile: found"):
        net.upscale(picture(4, 4), tile)


def test_memory_is_known_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Model(*conv_net("w2a2", features=8, blocks=1))
    monkeypatch.setattr(module, "MAX_RUN", 1000)
    with pytest.raises(OptionsError, match="tile: 30 takes .* bytes, expected at most 1,000"):
        net.upscale(picture(40, 40), 30)
    monkeypatch.setattr(module.os, "sysconf", lambda name: 100)
    with pytest.raises(EnvironmentFault, match=r"a picture of 40 x 30 takes .* bytes, there are 10,000 \(use tiles\)"):
        net.upscale(picture(30, 40), None)


def test_what_is_no_picture() -> None:
    net = Model(*conv_net(features=4, blocks=1))
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), "photo.png"):
        with pytest.raises(DataError):
            net.upscale(wrong)
    for width, height in ((0, 4), (4, 0)):
        with pytest.raises(DataError, match="expected at least 1 x 1"):
            net.rows([], width, height)
    with pytest.raises(DataError, match="found 4 rows, expected 5"):
        list(net.rows([np.zeros((4, 4, 3), np.uint8)], 4, 5))


# --- who runs -----------------------------------------------------------------------------------------------------------
def test_a_backend_can_be_forced(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    header, tensors = conv_net(features=4, blocks=1)
    if backend == "numpy":
        assert isinstance(module.make_executor(header, tensors, header.programs[0], None), Interpreter)
        return
    monkeypatch.setenv("QSR_BACKEND", "extension")
    monkeypatch.setitem(sys.modules, "qsr.runtime.engine", None)
    with pytest.raises(EnvironmentFault, match="QSR_BACKEND: the compiled engine cannot be loaded"):
        module.make_executor(header, tensors, header.programs[0], None)
    monkeypatch.delenv("QSR_BACKEND")
    assert isinstance(module.make_executor(header, tensors, header.programs[0], None), Interpreter)


@pytest.mark.drill("M7")
def test_the_runtime_imports_little(repository: Path, tmp_path: Path) -> None:
    write(tmp_path / "net.qsr", *conv_net(features=4, blocks=1))
    code = "import sys, numpy as np\nbefore = set(sys.modules)\nimport qsr.runtime\nassert 'safetensors' not in sys.modules\n"
    code += f"net = qsr.runtime.load({str(tmp_path / 'net.qsr')!r})\nnet.upscale(np.zeros((4, 4, 3), np.uint8))\n"
    code += "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    heavy = {"torch", "numba", "pydantic", "cv2", "PIL", "scipy", "skimage", "typer", "yaml"}
    assert not set(done.stdout.split()) & heavy
