from __future__ import annotations

import numpy as np
import pytest

from qsr.archs.convert import write_basicsr
from qsr.archs.modelfile import load_model
from qsr.errors import FormatError, OptionsError
from qsr.evaluate import subject as subjects
from qsr.evaluate.protocol import Protocol, default
from qsr.evaluate.subject import HowToRun
from qsr.evaluate.upscale import upscale
from qsr.options import options_hash

RLQ = {"method": "rlq", "w_bits": 4, "a_bits": 4}
LR = np.random.default_rng(0).integers(0, 256, (12, 14, 3), dtype=np.uint8)
SWINIR = {"type": "SwinIR"}
PAPER = {"type": "SRResNet"}


def test_bicubic_has_a_protocol_per_scale():
    subject = subjects.bicubic((2, 4))
    assert subject.protocols == [default(2), default(4)]
    assert subject.upscaler(4)(LR).shape == (48, 56, 3)
    assert subject.facts()["method"] == "Bicubic"
    subject.require_scale(4)
    with pytest.raises(OptionsError, match="enlarges x2, x4"):
        subject.require_scale(3)


def test_a_trained_network_says_where_its_numbers_come_from(make_options, save):
    options = make_options(quant=RLQ)
    folder = save(options)
    subject = subjects.trained(folder, HowToRun(device="cpu", tile=8))
    network, _ = load_model(folder)
    assert np.array_equal(subject.upscaler(2)(LR), upscale(network, LR, tile=8))
    facts = subject.facts()
    file = folder / "models" / "net_g_latest.safetensors"
    expected = {
        "model": str(file),
        "model_hash": subjects.file_hash(file),
        "options_hash": options_hash(options),
        "iteration": 7,
        "weights": "ema",
        "seed": 0,
        "tile": 8,
        "tiles_used": [8],
        "self_ensemble": False,
        "w_bits": 4,
    }
    assert {key: facts[key] for key in expected} == expected
    assert {"qsr", "torch"} <= set(facts["versions"])


def test_best_is_another_file_and_another_name(make_options, save):
    save(make_options(), seed=1)
    folder = save(make_options(), name="net_g_best", seed=2)
    latest, best = (subjects.trained(folder, HowToRun("cpu"), best=best) for best in (False, True))
    assert (latest.name, best.name) == ("tiny", "tiny-best")
    assert latest.about["model_hash"] != best.about["model_hash"]
    (folder / "models" / "net_g_best.safetensors").unlink()
    with pytest.raises(FormatError, match="net_g_best"):
        subjects.trained(folder, HowToRun("cpu"), best=True)


def test_a_depth_and_the_ensemble_change_name_and_pictures(make_options, save):
    folder = save(make_options(depth={"dqa": {"depths": [4, 2]}}))
    plain, shallow, turned = (
        subjects.trained(folder, how)
        for how in (HowToRun("cpu"), HowToRun("cpu", depth=2), HowToRun("cpu", self_ensemble=True))
    )
    assert (plain.name, shallow.name, turned.name) == ("tiny", "tiny-depth2", "tiny-ensemble")
    assert (plain.about["blocks"], shallow.about["blocks"]) == (4, 2)
    outputs = [subject.upscaler(2)(LR) for subject in (plain, shallow, turned)]
    assert not any(np.array_equal(a, b) for a, b in ((outputs[0], outputs[1]), (outputs[0], outputs[2])))


def test_an_option_file_names_its_weights(make_options, save, tmp_path):
    folder = save(make_options(quant=RLQ))
    options = make_options(quant=RLQ, path={"pretrain_network_g": str(folder)})
    subject = subjects.from_options(options, HowToRun("cpu"))
    network, _ = load_model(folder)
    assert np.array_equal(subject.upscaler(2)(LR), upscale(network, LR))


def test_a_basicsr_file_is_evaluated(make_options, save, tmp_path):
    network, _ = load_model(save(make_options()))
    write_basicsr(tmp_path / "net.pth", network)
    options = make_options(path={"pretrain_network_g": str(tmp_path / "net.pth")})
    assert np.array_equal(subjects.from_options(options, HowToRun("cpu")).upscaler(2)(LR), upscale(network, LR))


def test_full_precision_weights_are_not_passed_off_as_quantized(make_options, save):
    folder = save(make_options())
    options = make_options(quant=RLQ, path={"pretrain_network_g": str(folder)})
    with pytest.raises(OptionsError, match="no step sizes"):
        subjects.from_options(options, HowToRun("cpu"))


def test_without_weights_the_experiment_of_that_name_is_taken(make_options, save, tmp_path):
    options = make_options(path={"experiments_root": str(tmp_path)})
    with pytest.raises(OptionsError, match="qsr train"):
        subjects.from_options(options, HowToRun("cpu"))
    save(options, folder="tiny")
    assert subjects.from_options(options, HowToRun("cpu")).about["iteration"] == 7


@pytest.mark.parametrize(
    ("sections", "quant", "label", "method"),
    [
        ({"network_g": PAPER}, RLQ, "QuantSR-C w4a4", "QuantSR-C"),
        ({"network_g": SWINIR}, RLQ, "QuantSR-T w4a4", "QuantSR-T"),
        ({"network_g": PAPER}, None, "SRResNet", "SRResNet"),
        ({"network_g": SWINIR}, None, "SwinIR_S", "SwinIR_S"),
        ({"network_g": PAPER}, {**RLQ, "method": "lsq"}, "LSQ on SRResNet w4a4", "LSQ on SRResNet"),
    ],
)
def test_names_of_the_papers(make_options, sections, quant, label, method):
    found = subjects.describe(make_options(quant=quant, **sections), HowToRun())
    assert (found["label"], found["method"], found["notes"]) == (label, method, [])


@pytest.mark.parametrize(("quant", "method"), [(None, "Mixer"), (RLQ, "RLQ on Mixer")])
def test_no_paper_has_the_mixer(make_options, quant, method):
    found = subjects.describe(make_options(quant=quant, network_g={"type": "Mixer"}), HowToRun())
    assert (found["method"], found["blocks"], found["published_blocks"]) == (method, 16, None)
    assert found["size"] == "16 mixer blocks of 64 features"


def test_what_makes_a_row_unlike_the_published_one_is_noted(make_options):
    def notes(how=None, **sections):
        return subjects.describe(make_options(quant=RLQ, **sections), how or HowToRun())["notes"]

    assert notes() == ["ours is 2 blocks of 4 features, the published network 16 blocks of 64 features"]
    assert notes(HowToRun(self_ensemble=True), network_g=PAPER)[0].startswith("ours uses self-ensemble")
    options = make_options(quant={**RLQ, "skip": ["body.0.*"]}, network_g=PAPER)
    assert "exceptions by layer" in subjects.describe(options, HowToRun())["notes"][0]


def test_depths_of_the_paper_find_their_own_rows(make_options):
    supernet = make_options(quant=RLQ, network_g=PAPER, depth={"dqa": {"depths": [32, 16, 8]}})
    for depth, blocks in ((None, 32), (16, 16), (8, 8)):
        found = subjects.describe(supernet, HowToRun(depth=depth))
        assert (found["published_blocks"], found["notes"]) == (blocks, [])
    small = subjects.describe(make_options(quant=RLQ), HowToRun())
    assert small["published_blocks"] is None


def test_the_protocol_follows_val_metrics(make_options):
    metrics = {"psnr": {"type": "calculate_psnr", "crop_border": 4, "test_y_channel": False}}
    assert subjects.protocol_of(make_options(val={"metrics": metrics})) == Protocol(2, 4, y_channel=False)
    metrics = {"psnr": {"type": "calculate_psnr", "test_y_channel": True}}
    assert subjects.protocol_of(make_options(val={"metrics": metrics})) == default(2)
    assert subjects.protocol_of(make_options(scale=3)) == default(3)
