"""Exact sizes, any image size, both tails."""

from __future__ import annotations

import pytest
import torch

from qsr.archs.swinir import SwinIR


def tiny(**changes: object) -> SwinIR:
    settings = {"num_stls": (2, 2), "num_heads": (2, 2), "embed_dim": 8, "window_size": 4, "scale": 2}
    return SwinIR(**(settings | changes))


@pytest.mark.parametrize(("scale", "count"), [(2, 910_152), (3, 918_267), (4, 929_628)])
def test_swinir_s_counts(scale: int, count: int) -> None:
    assert sum(p.numel() for p in SwinIR(scale=scale).parameters()) == count


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 5), (4, 8), (7, 13)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_any_size(size: tuple[int, int], scale: int) -> None:
    image = tiny(scale=scale)(torch.rand(2, 3, *size))
    assert image.shape == (2, 3, scale * size[0], scale * size[1])
    assert torch.isfinite(image).all()


def test_padding_is_reflection() -> None:
    """An image and the same image continued by reflection give the same pixels where they overlap."""
    network = tiny()
    image = torch.rand(1, 3, 6, 7)
    padded = torch.nn.functional.pad(image, (0, 1, 0, 2), mode="reflect")
    torch.testing.assert_close(network(image), network(padded)[..., :12, :14])


@pytest.mark.parametrize("scale", [3, 4])
def test_classical_tail(scale: int) -> None:
    network = tiny(tail="pixelshuffle", resi_connection="3conv", scale=scale)
    assert network(torch.rand(1, 3, 4, 4)).shape == (1, 3, 4 * scale, 4 * scale)


def test_state_dict_has_only_weights() -> None:
    assert set(tiny().state_dict()) == {name for name, _ in tiny().named_parameters()}


def test_grey_pictures() -> None:
    assert tiny(in_chans=1)(torch.rand(1, 1, 5, 5)).shape == (1, 1, 10, 10)


def test_an_exported_graph_takes_other_sizes() -> None:
    """Exported at 13 x 10; sizes above one window in each direction run in the same graph, padded or not."""
    network = tiny(num_stls=(2,), num_heads=(2,)).eval()
    dynamic = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    exported = torch.export.export(network, (torch.rand(1, 3, 13, 10),), dynamic_shapes=(dynamic,)).module()
    for size in ((16, 8), (7, 9), (21, 30)):
        image = torch.rand(1, 3, *size)
        torch.testing.assert_close(exported(image), network(image))
