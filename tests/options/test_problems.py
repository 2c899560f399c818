"""How faults read."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.errors import OptionsError
from qsr.options import load
from qsr.options.problems import LONGEST_SHOWN, Problem, nearest, refuse, shown
from qsr.options.show import to_yaml
from qsr.options.tree import Origin, Tree

# override -> the line that it causes, without its origin
MESSAGES = {
    "quant.methd=rlq": "quant.methd: unknown key (did you mean method?)",
    "w_bits=4": "w_bits: unknown key (did you mean quant.w_bits?)",
    "lr=1e-4": "lr: unknown key (did you mean train.optim_g.lr?)",
    "qwertz=1": "qwertz: unknown key",
    "scale=5": "scale: found 5, expected 2, 3 or 4",
    "scale=two": "scale: found 'two', expected 2, 3 or 4",
    "amp=bf6": "amp: found 'bf6', expected 'off' or 'bf16' (did you mean bf16?)",
    "device=cdua": "device: found 'cdua', expected 'auto', 'cpu', 'cuda' or 'mps' (did you mean cuda?)",
    "name=3": "name: found 3, expected text (put it in quotes)",
    "name=a/b": r"name: found 'a/b', expected match pattern '^[\w][\w.+-]*$'",
    "name=": "name: missing; Experiment name: the folder under experiments/",
    "train=4": "train: found 4, expected a section of keys",
    "datasets=[1]": "datasets: found [1], expected a section of keys",
    "train.optim_g.lr=fast": "train.optim_g.lr: found 'fast', expected a number",
    "train.optim_g.lr=.nan": "train.optim_g.lr: found nan, expected a finite number",
    "train.optim_g.lr=.inf": "train.optim_g.lr: found inf, expected a finite number",
    "train.optim_g.betas=0.9": "train.optim_g.betas: found 0.9, expected a list, for instance [a, b]",
    "train.optim_g.betas=[0.9, 1]": "train.optim_g.betas.1: found 1, expected less than 1",
    "train.total_iter=1.5": "train.total_iter: found 1.5, expected a whole number",
    "logger.use_tb_logger=perhaps": "logger.use_tb_logger: found 'perhaps', expected true or false",
    "network_g.type=SwinIRR": "network_g.type: found 'SwinIRR', expected SRResNet, EDSR, MSRResNet, SwinIR, Mixer"
    " or basicsr:NAME (did you mean SwinIR?)",
    "network_g=7": "network_g.type: found 7, expected SRResNet, EDSR, MSRResNet, SwinIR, Mixer or basicsr:NAME",
    "network_g.embed_dim=60": "network_g.embed_dim: unknown key",
    "datasets.train.io_backend.type=lmdbb": "datasets.train.io_backend.type: found 'lmdbb', expected 'disk' or 'lmdb'"
    " (did you mean lmdb?)",
    "quant.rules=[{match: a, w_bit: 3}]": "quant.rules.0.w_bit: unknown key (did you mean w_bits?)",
}


@pytest.mark.parametrize("override", MESSAGES)
def test_message(valid: Path, override: str) -> None:
    with pytest.raises(OptionsError) as caught:
        load(valid, [override])
    assert [line.partition("  ")[2] for line in caught.value.problems] == [MESSAGES[override]]


def test_the_network_union_reports_each_fault_once(valid: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        load(valid, ["network_g={type: SwinIR, embed_dim: x, window_sise: 8}"])
    assert len(caught.value.problems) == 2


def test_long_values_are_cut() -> None:
    assert len(shown("x" * 1000)) == LONGEST_SHOWN
    assert shown([1]) == "[1]"


@pytest.mark.parametrize("key", ["a\nb", "\x1b[31m", "x" * 1000])
def test_hostile_keys_stay_one_short_line(valid: Path, key: str) -> None:
    valid.write_text(valid.read_text() + to_yaml({key: 1}))
    with pytest.raises(OptionsError) as caught:
        load(valid)
    (line,) = caught.value.problems
    assert line.isprintable()
    assert len(line) < 300


def test_nearest() -> None:
    assert nearest("w_bit", ("w_bits", "a_bits")) == " (did you mean w_bits?)"
    assert nearest("zzz", ("w_bits",)) == ""


def test_refuse_sorts_by_place_and_drops_repetitions() -> None:
    tree = Tree({}, {("a",): Origin("x", 9), ("b",): Origin("x", 10)})
    problems = [Problem(("b",), "second"), Problem(("a",), "first"), Problem(("a",), "first")]
    with pytest.raises(OptionsError) as caught:
        refuse(problems, tree, "x")
    assert caught.value.problems == ("x:9  a: first", "x:10  b: second")
    assert "2 problems" in str(caught.value)
