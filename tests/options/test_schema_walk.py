"""Finding the section behind a written path."""

from __future__ import annotations

import pytest

from qsr.options import schema
from qsr.options.schema_walk import ANY, every_section, section_at
from qsr.options.yaml_lines import KeyPath


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ((), schema.Options),
        (("train", "optim_g"), schema.Optim),
        (("datasets", "val_2"), schema.Dataset),
        (("datasets", "val_2", "io_backend"), schema.IoBackend),
        (("val", "metrics", "psnr"), schema.PsnrMetric),
        (("quant", "rules", 3), schema.LayerRule),
        (("depth", "dqa"), schema.Dqa),
        (("nothing",), None),
        (("scale",), None),
    ],
)
def test_section_at(path: KeyPath, model: type | None) -> None:
    assert section_at(path) is model


@pytest.mark.parametrize("model", [schema.SRResNet, schema.SwinIR, schema.Mixer, schema.BasicSRNetwork])
def test_the_network_is_told_by_its_kind(model: type) -> None:
    assert section_at(("network_g",), model.__name__) is model


def test_every_section_comes_once() -> None:
    found = [(path, model.__name__) for path, model in every_section()]
    assert len(found) == len(set(found))
    assert (("datasets", ANY), "Dataset") in found
    assert found[0] == ((), "Options")
