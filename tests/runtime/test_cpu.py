from __future__ import annotations

from pathlib import Path

from qsr.runtime import cpu


def test_flags_are_read_from_the_first_processor(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma avx512_vnni avx2x\n\nprocessor\t: 1\nflags\t\t: sse4_2\n")
    assert cpu.isa_flags(file) == ("avx2", "fma", "avx512_vnni")


def test_arm_calls_them_features(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n")
    assert cpu.isa_flags(file) == ("asimd", "asimddp", "i8mm")


def test_no_such_file_is_no_flag(tmp_path: Path) -> None:
    assert cpu.isa_flags(tmp_path / "missing") == ()


def test_machine_is_two_words() -> None:
    assert len(cpu.machine().split()) == 2
