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


def test_the_processor_is_named_with_its_generation(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("vendor_id\t: X\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: Make 7\n\nmodel name\t: other\n")
    assert cpu.cpu_name(file) == "Make 7 (family 25, model 17)"


def test_a_processor_without_a_name_is_its_architecture(tmp_path: Path) -> None:
    assert cpu.cpu_name(tmp_path / "missing") == cpu.machine()
