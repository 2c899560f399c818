from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from qsr.data import archive
from qsr.data.archive import pictures_in, safe_path
from qsr.errors import DataError

HOSTILE = ["../x.png", "/etc/x.png", "a/../../x.png", "..\\x.png", "C:\\x.png", "C:x.png", "a/b/../../../x.png"]
HOSTILE += ["\\\\host\\x.png"]
HARMLESS = ["x.png", "a/b/x.png", "...png", "a..b/x.png", "-rf.png", "новая\n строка.png", "🎨.png", "n" * 4096 + ".png"]


def _tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def _contents(source: Path) -> dict[str, bytes]:
    found = {}
    for member in pictures_in(source):
        buffer = io.BytesIO()
        member.copy_to(buffer)
        found[str(member.path)] = buffer.getvalue()
    return found


def test_folder_zip_and_tar_give_the_same_pictures(tmp_path):
    members = {"S/HR/a.png": b"1", "S/HR/b.JPG": b"22", "S/readme.txt": b"no", "__MACOSX/S/._a.png": b"no", "S/.b.png": b"no"}
    for name, data in members.items():
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_bytes(data)
    wanted = {"S/HR/a.png": b"1", "S/HR/b.JPG": b"22"}
    assert _contents(tmp_path / "f") == wanted
    assert _contents(_zip(tmp_path / "x.zip", members)) == wanted
    for suffix in ("", ":gz", ":bz2", ":xz"):
        assert _contents(_tar(tmp_path / f"x{suffix[1:]}.tar", members, f"w{suffix}")) == wanted


@pytest.mark.drill("F8")
@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_out_refuse_the_archive(name, tmp_path):
    members = {"a.png": b"1", name: b"2"}
    for source in (_tar(tmp_path / "x.tar", members), _zip(tmp_path / "x.zip", members)):
        with pytest.raises(DataError, match=r"x\.(tar|zip): the member name .* leads out of it"):
            _contents(source)


@pytest.mark.drill("F8")
@pytest.mark.parametrize("name", HARMLESS)
def test_odd_but_harmless_names_stay_inside(name, tmp_path):
    path = safe_path(name, Path("x"))
    assert (tmp_path / path).resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.drill("F8")
def test_nul_is_refused():
    with pytest.raises(DataError, match="leads out"):
        safe_path("a\0.png", Path("x"))


@pytest.mark.drill("F8")
def test_links_and_devices_are_left_where_they_are(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as out:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
    assert _contents(tmp_path / "x.tar") == {}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb_is_cut_off_while_copying(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBER", 1 << 20)
    members = {"a.png": bytes(3 << 20)}
    source = _zip(tmp_path / "x.zip", members) if kind == "zip" else _tar(tmp_path / "x.tar", members, "w:gz")
    assert source.stat().st_size < 8192
    with pytest.raises(DataError, match=r"'a\.png' is larger than 1,048,576 bytes"):
        _contents(source)


def test_damage_is_one_line(tmp_path):
    (tmp_path / "x.png").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="neither a folder nor a zip nor a tar"):
        _contents(tmp_path / "x.png")
    members = {"a.png": bytes(range(256)) * 40}
    for source in (_zip(tmp_path / "x.zip", members), _tar(tmp_path / "x.tar", members, "w:gz")):
        data = bytearray(source.read_bytes())
        data[60:90] = bytes(30)
        source.write_bytes(data)
        with pytest.raises(DataError, match=r"x\.(zip|tar): (cannot unpack|neither)"):
            _contents(source)
