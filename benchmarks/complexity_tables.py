"""Print the papers' complexity tables beside what `qsr complexity` counts on the networks of options/, as Markdown.

    python benchmarks/complexity_tables.py

Run it from the repository's root. Printed values are transcribed from QuantSR (table 3) and FRB (table 4).
"""

from __future__ import annotations

from qsr.evaluate.complexity import Mode, complexity
from qsr.options import load

# label, option file, overrides, depth, mode, printed params K, printed ops G
ROWS: tuple[tuple[str, str, tuple[str, ...], int | None, Mode, str, str], ...] = (
    ("SRResNet 32/32", "fp_x2", (), None, "deck-quantsr", "1367", "90.1"),
    ("QuantSR-C 4/4, 32 blocks", "quantsr_x2_w4a4", (), 32, "deck-quantsr", "451", "29.9"),
    ("QuantSR-C 4/4, 16 blocks", "quantsr_x2_w4a4", (), 16, "deck-quantsr", "303", "20.2"),
    ("QuantSR-C 4/4, 8 blocks", "quantsr_x2_w4a4", (), 8, "deck-quantsr", "230", "15.4"),
    ("QuantSR-C 2/2, 32 blocks", "quantsr_x2_w2a2", (), 32, "deck-quantsr", "170", "11.5"),
    ("QuantSR-C 2/2, 16 blocks", "quantsr_x2_w2a2", (), 16, "deck-quantsr", "161", "10.9"),
    ("QuantSR-C 2/2, 8 blocks", "quantsr_x2_w2a2", (), 8, "deck-quantsr", "156", "10.6"),
    ("SRResNet 32/32", "fp_x2", ("network_g.layout=msr",), None, "deck-frb", "1367", "85.4"),
    ("FRBC 1/1", "frb_x2_w1a1", (), None, "deck-frb", "225", "18.6"),
    ("SwinIR_S 32/32", "fp_t_x2", (), None, "deck-frb", "910", "62.4"),
    ("FRBT 1/1", "frb_t_x2_w1a1", (), None, "deck-frb", "95", "4.3"),
)


def main() -> None:
    print("| network (x2) | mode, LR | params K printed | counted | ops G printed | counted | honest, same input: K / G |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for label, file, overrides, depth, mode, params, ops in ROWS:
        options = load(f"options/{file}.yml", overrides).options
        deck = complexity(options, mode, depth)
        honest = complexity(options, "honest", depth, deck.height, deck.width)
        print(
            f"| {label} | {mode}, {deck.width}x{deck.height} | {params} | {deck.params_k:.2f} | {ops} | {deck.ops_g:.2f} "
            f"| {honest.params_k:.1f} / {honest.ops_g:.2f} |"
        )


if __name__ == "__main__":
    main()
