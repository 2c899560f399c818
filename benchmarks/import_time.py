"""How long `import qsr` and `qsr --help` take: median and best of 15 fresh interpreters, less the interpreter's own start.

Budgets (users feel them): 100 ms and 300 ms. tests/test_import_budget.py counts modules instead of milliseconds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
CASES = {
    "interpreter alone": ["-c", "pass"],
    "import qsr": ["-c", "import qsr"],
    "qsr --help": ["-m", "qsr.cli.main", "--help"],
}


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):  # interleaved: a busy moment of the machine hits all cases alike
        for name, arguments in CASES.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            times[name].append(1000 * (time.perf_counter() - start))
    own = statistics.median(times["interpreter alone"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:<18} median {median:6.1f} ms   best {min(values):6.1f} ms   above the interpreter {median - own:6.1f} ms")


if __name__ == "__main__":
    main()
