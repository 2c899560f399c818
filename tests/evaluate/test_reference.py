from __future__ import annotations

import csv

import pytest

from qsr.evaluate import reference
from qsr.evaluate.reference import published


@pytest.mark.parametrize(
    ("query", "psnr", "ssim"),
    [
        (("Bicubic", 2, None, None, "Set5"), 33.66, 0.9299),
        (("SRResNet", 4, 32, 32, "Manga109"), 30.46, 0.9089),
        (("QuantSR-C", 4, 2, 2, "Urban100"), 25.13, 0.7537),
        (("QuantSR-T", 2, 4, 4, "B100"), 32.21, 0.8998),
        (("FRBT+", 4, 1, 1, "Set14"), 28.39, 0.7761),
        (("QuantSR-C", 4, 4, 4, "Set5", 16), 32.00, 0.8924),
        (("QuantSR-C", 4, 4, 4, "Set5", 32), 32.17, 0.8943),
        (("QuantSR-C", 4, 2, 2, "Set5", 8), 31.04, 0.8771),
    ],
)
def test_rows_as_printed(query, psnr, ssim):
    found = published(*query)
    assert (found.psnr, found.ssim) == (psnr, ssim)


@pytest.mark.parametrize(
    "query",
    [
        ("Bicubic", 3, None, None, "Set5"),
        ("LSQ", 2, 4, 4, "Set5"),
        ("QuantSR-C", 2, 8, 8, "Set5"),
        ("BAM", 2, 1, 1, "Manga109"),  # N/A in the paper
        ("QuantSR-C", 2, 4, 4, "Set5", 32),  # table 3 is x4
        ("QuantSR-C", 4, 4, 4, "Urban100", 8),  # its label is wrong
    ],
)
def test_what_was_not_published_is_not_there(query):
    assert published(*query) is None


def test_every_row_of_every_table_is_found_with_its_printed_digits():
    counted = 0
    for name in ("quantsr_table2", "frb_table2", "frb_table3"):
        with open(reference.FOLDER / f"{name}.csv", newline="") as handle:
            for row in csv.DictReader(handle):
                bits = [int(row[key]) if row[key] else None for key in ("w_bits", "a_bits")]
                found = published(row["method"], int(row["scale"]), *bits, row["dataset"])
                counted += 1
                if row["psnr"]:
                    assert (found.psnr, found.ssim) == (float(row["psnr"]), float(row["ssim"])), row
                else:
                    assert found is None
    assert counted == 140 + 110 + 30


def test_footnotes_say_what_is_odd_about_a_row():
    def notes(*query):
        return published(*query).notes

    assert notes("SRResNet", 2, 32, 32, "Set5") == ()
    assert reference.NOTE_RLQ in notes("QuantSR-T", 4, 2, 2, "Set5")
    assert reference.NOTE_TABLE3 in notes("QuantSR-C", 4, 2, 2, "Set5", 8)
    assert reference.NOTE_THREE_DECIMALS in notes("DoReFa", 2, 2, 2, "Manga109")
    assert reference.NOTE_THREE_DECIMALS in notes("CADyQ", 2, 2, 2, "Manga109")
    assert reference.NOTE_COLLAPSE in notes("CADyQ", 4, 2, 2, "B100")
    assert reference.NOTE_DOREFA_X4 in notes("DoReFa", 4, 2, 2, "Set5")
    assert reference.NOTE_INDICATIVE in notes("PAMS", 2, 4, 4, "Set5")
    assert reference.NOTE_INDICATIVE not in notes("DoReFa", 2, 1, 1, "Set5")
    assert reference.NOTE_ENSEMBLE in notes("FRBC+", 2, 1, 1, "Set5")
    assert reference.NOTE_PLANES in notes("FRBC", 2, 1, 1, "Set5")
    assert reference.NOTE_SET14 in notes("Bicubic", 2, None, None, "Set14")


def test_the_readme_names_this_version_and_every_file():
    text = (reference.FOLDER / "README.md").read_text()
    assert f"version {reference.REFERENCE_VERSION}" in text
    assert all(f"`{path.name}`" in text for path in reference.FOLDER.glob("*.csv"))
