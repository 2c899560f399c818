"""Says which list of supply/locked/ holds the build of torch that pip would choose on this machine: torch-index or torch-cpu.

Run by the Makefile inside the new environment; nothing is installed. Only the standard library.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ASK = ("install", "-qq", "--dry-run", "--ignore-installed", "--no-deps", "-c", "constraints.txt", "--report", "-", "torch")


def list_of(version: str) -> str:
    """2.13.0 is the index's build, 2.13.0+cpu another one."""
    _, plus, local = version.partition("+")
    return f"torch-{local}" if plus else "torch-index"


def main() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *ASK], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False)
    if done.returncode != 0:
        sys.exit("pip finds no torch of the version in constraints.txt")
    version = json.loads(done.stdout)["install"][0]["metadata"]["version"]
    found = list_of(version)
    if not (REPOSITORY / "supply" / "locked" / f"{found}.txt").is_file():
        sys.exit(f"pip would choose torch {version}, of which no hash was recorded; `make LOCKED=0 ...` installs it unchecked")
    print(found)


if __name__ == "__main__":
    main()
