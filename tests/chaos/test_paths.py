"""Names of strangers, in archives, folders, databases, options and metadata: none leads outside the output folder (F8)."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qsr.data.add import add_set
from qsr.data.benchmark import BenchmarkSet, open_folders, plain
from qsr.data.lmdb_writer import write_lmdb
from qsr.data.pairs import Pairs
from qsr.data.prepare import cut_subimages, degrade_folder
from qsr.data.store import FolderStore
from qsr.errors import DataError, OptionsError, QsrError
from qsr.evaluate.benchmark import evaluate_set
from qsr.evaluate.protocol import Protocol
from qsr.options import load
from qsr.runtime.model import Model
from qsr.runtime.packed import container
from qsr.train.experiment import folder_of
from qsr.upscale.batch import How, run
from qsr.upscale.names import plan
from qsr.zoo import index
from tests.runtime.packed.build import conv_net

TRICKS = [
    "../x", "../../../x", "..", ".", "/x", "//x", "/etc/x", "a/../../x", "a/../../../x", "..\\x", "..\\..\\x",
    "C:\\x", "C:x", "\\\\host\\x", "x\0y", "x/\0/../y", "a" * 4096, "a" * 255, "/".join(["a"] * 300),
    "../" * 5 + "x", "../" * 6 + "x", "../" * 9 + "x", "\N{GRINNING FACE}",
    "\N{GRINNING FACE}/../../x", "ü/../../x", "..\N{DIVISION SLASH}x",
    "%2e%2e%2fx", "~/x", "~root/x", "$HOME/x", "`id`", "; rm -rf x", "-rf", "--out=/x", "x\ny", "\x1b[31m", "x\r",
    " ", "", "con", "nul.png", ".hidden", "...", ". .", "x.", "x ", "*", "?", "[a]", "{name}", "{0.__class__}", "%s",
    "\u202egnp.x", "\ufeffx", "\u200b", "a\u0301", "file:///x", "http://x/y", "x|y", "x>y", "<x", "&x", "'x'", '"x"',
]  # fmt: skip


def everything(folder: Path) -> dict[str, bytes]:
    """All that lies below: name -> contents, where a link leads, or nothing for a folder."""
    found: dict[str, bytes] = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            there = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[os.path.relpath(path, folder)] = there
    return found


def outside(before: dict[str, bytes], after: dict[str, bytes], allowed: str) -> list[str]:
    """What came, went or changed and does not lie in `allowed`."""
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return sorted(name for name in names if name != allowed and not name.startswith(allowed + "/"))


def png(seed: int = 0, height: int = 16, width: int = 20) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(file, "png")
    return file.getvalue()


def touch(path: Path, data: bytes) -> bool:
    """Whether the file system has such a name at all, below the folder that it is meant for."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except (OSError, ValueError):
        return False
    return True


def in_zip(trick: str, work: Path, out: Path) -> None:
    with zipfile.ZipFile(work / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(trick.replace("\0", "") + ".png"), png())
    add_set("new", work / "a.zip", out)


def in_tar(trick: str, work: Path, out: Path) -> None:
    with tarfile.open(work / "a.tar", "w") as archive:
        for kind, link in ((tarfile.REGTYPE, ""), (tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "../../x")):
            entry = tarfile.TarInfo(trick.replace("\0", "") + ".png")
            entry.type, entry.linkname, entry.size = kind, link, len(png()) if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(png()) if entry.size else None)
    add_set("new", work / "a.tar", out)


def as_set(trick: str, work: Path, out: Path) -> None:
    touch(work / "in" / "a.png", png())
    add_set(trick, work / "in", out)


def as_template(trick: str, work: Path, out: Path) -> None:
    touch(work / "in" / "a.png", png())
    degrade_folder(work / "in", out, 2, tmpl=trick + "{}")


def as_picture(trick: str, work: Path, out: Path) -> None:
    """As the name of a file, where a file can be called so: cut, enlarged, and packed into a database."""
    folder = work / "in"
    name = trick.replace("/", "_") + ".png"
    if not touch(folder / name, png()):
        raise DataError("no such name")
    cut_subimages(folder, out, crop=8, step=8)
    net = Model(*conv_net("w2a2", features=4, blocks=1), threads=1)
    made = plan([str(folder)], str(out), 2, None)
    run(net, made.jobs, How("mark", root=made.root), lambda outcome: None)
    write_lmdb(folder, out / "x.lmdb")


def as_result(trick: str, work: Path, out: Path) -> None:
    """As the name of a validation set (an option file says it) and of its pictures, when those are saved."""
    touch(work / "in" / "a.png", png(height=40, width=40))
    store = FolderStore([work / "in" / "a.png"])
    store.names = (trick,)
    one = BenchmarkSet(trick, Pairs(store, None, 2))
    evaluate_set(lambda lr: lr.repeat(2, 0).repeat(2, 1), one, Protocol(scale=2, crop=2), save_to=out)


def as_experiment(trick: str, work: Path, out: Path) -> None:
    """Options whose name leads elsewhere are refused, or have their folder below experiments_root."""
    from tests.train.train_drill import write_pictures

    folder = write_pictures(work / "pictures") if not (work / "pictures").exists() else work / "pictures"
    text = (
        f"name: {json_text(trick)}\nscale: 2\npath: {{experiments_root: {json_text(str(out))}}}\n"
        f"datasets: {{train: {{dataroot_gt: {json_text(str(folder))}, gt_size: 32}}}}\n"
    )
    (work / "x.yml").write_text(text, encoding="utf-8", errors="surrogatepass")
    where = folder_of(load(work / "x.yml").options)
    assert out.resolve() in where.resolve().parents, where


def json_text(text: str) -> str:
    import json

    return json.dumps(text)


def as_packed_name(trick: str, work: Path, out: Path) -> None:
    """In a packed file's metadata: whatever it says, reading it writes nothing."""
    header, tensors = conv_net("w2a2", features=4, blocks=1)
    from dataclasses import replace

    (work / "net.qsr").write_bytes(container.to_bytes(replace(header, network={"name": trick, "file": trick}), tensors))
    container.read(work / "net.qsr")


def as_zoo_entry(trick: str, work: Path, out: Path) -> None:
    """An index that names a file elsewhere is refused before anything is copied."""
    import json

    entry = dict.fromkeys(index.ZooModel.__dataclass_fields__, "") | {"name": "net", "file": trick, "scale": 2}
    (work / "index.json").write_text(json.dumps({"format": index.FORMAT, "models": [entry]}))
    index.get("net", out, work)


PLACES: dict[str, Callable[[str, Path, Path], None]] = {
    made.__name__: made
    for made in (in_zip, in_tar, as_set, as_template, as_picture, as_result, as_experiment, as_packed_name, as_zoo_entry)
}


@pytest.mark.drill("F8")
@pytest.mark.parametrize("place", PLACES)
def test_no_name_leads_out(drill, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    base = tmp_path / "deep" / "er" / "still"
    done = refused = 0
    for number, trick in enumerate(TRICKS):
        work, out = base / str(number) / "work", base / str(number) / "out" / "put"
        work.mkdir(parents=True)
        out.mkdir(parents=True)
        here = tmp_path / "here"
        here.mkdir(exist_ok=True)
        monkeypatch.chdir(here)
        watched = base / str(number)
        before = everything(watched) | {f"../{name}": data for name, data in everything(here).items()}
        try:
            PLACES[place](trick, work, out)
            done += 1
        except QsrError as fault:
            refused += 1
            if not isinstance(fault, OptionsError) and ("\n" in str(fault) or not str(fault).isprintable()):
                drill.fail(f"{trick!r} breaks the line that refuses it: {str(fault)!r}", trick, ".txt")
        after = everything(watched) | {f"../{name}": data for name, data in everything(here).items()}
        wrong = [name for name in outside(before, after, "out/put") if not name.startswith("work")]
        if wrong:
            drill.fail(f"{place}, name {trick[:80]!r}: wrote {wrong[:5]}", trick, ".txt")
        drill.count()
    assert done + refused == len(TRICKS) >= 60
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"er"}
    assert {path.name for path in base.parent.iterdir()} == {"still"}
    print(f"{place}: {done} done, {refused} refused")


@pytest.mark.drill("F8")
@pytest.mark.parametrize("trick", TRICKS, ids=range(len(TRICKS)))
def test_a_sets_name_becomes_one_part_of_a_path(trick: str) -> None:
    made = plain(trick)
    assert Path(made).name == made
    assert made not in ("", ".", "..")
    assert made.isprintable()


@pytest.mark.drill("F8")
def test_a_validation_sets_name_stays_inside(tmp_path: Path) -> None:
    """As in an option file of a stranger: datasets.val.name: ../../x, and pictures are saved."""
    touch(tmp_path / "in" / "a.png", png(height=40, width=40))
    out = tmp_path / "experiments" / "mine" / "visualization"
    one = open_folders(tmp_path / "in", scale=2, name="../../../x")
    evaluate_set(lambda lr: lr.repeat(2, 0).repeat(2, 1), one, Protocol(scale=2, crop=2), save_to=out)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("in", "experiments")] == []
    assert [path.name for path in out.rglob("*.png")] == ["a_x2.png"]
