"""`qsr upscale` as it is called: arguments, lines, exit codes. What it does to pictures: tests/upscale/."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from qsr.cli import upscale_verb
from qsr.errors import OptionsError
from qsr.upscale import choose

sys.path.insert(0, str(Path(__file__).parents[1] / "upscale"))

from upscale_fakes import Nearest, colours, larger

# a shell in the background has its children ignore Ctrl-C; one that this runs in has to hear it. Made before `folder`, which
# takes signal.signal away
HEARING = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two pictures; every model is Nearest(2)."""
    (tmp_path / "net.qsr").write_bytes(b"a network")
    monkeypatch.setattr(choose, "open_network", lambda path, threads: Nearest())
    monkeypatch.setattr(signal, "signal", lambda *what: None)
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "-b.png"):
        Image.fromarray(colours(6, 8)).save(name, "PNG")
    return tmp_path


def invoke(*arguments: str):
    """Run `qsr upscale -m net.qsr ARGUMENTS`."""
    app = typer.Typer()
    app.command()(upscale_verb.command)
    return CliRunner().invoke(app, ["-m", "net.qsr", *arguments], catch_exceptions=False, standalone_mode=False)


def test_a_picture(folder: Path) -> None:
    done = invoke("a.png")
    assert done.stdout.startswith("a.png -> a_x2.png  16x12  ")
    assert "1 done, 0 skipped, 0 failed in" in done.stdout
    assert np.array_equal(np.asarray(Image.open("a_x2.png")), larger(colours(6, 8)))
    assert "a.png: skipped: done already" in invoke("a.png").stdout
    assert "1 done" in invoke("a.png", "--overwrite").stdout


def test_everything_in_a_folder_with_a_broken_file(folder: Path) -> None:
    Path("c.png").write_bytes(b"no picture")
    done = invoke(".", "gone.png", "-o", "out")
    assert done.return_value == 3 or done.exit_code == 3
    assert "2 done, 0 skipped, 2 failed" in done.stdout
    assert done.stderr.splitlines()[0] == "gone.png: failed: no such file or folder"
    assert done.stderr.splitlines()[1].startswith("c.png: failed: cannot decode: not a PNG")
    top = folder.name
    assert sorted(os.listdir(folder / "out" / top)) == ["-b_x2.png", "a_x2.png"]


def test_names_that_begin_with_a_dash(folder: Path) -> None:
    assert "-b.png -> -b_x2.png" in invoke("--", "-b.png").stdout


def test_options_reach_the_work(folder: Path) -> None:
    invoke("a.png", "-o", "out/", "--format", "jpg", "--quality", "40", "--self-ensemble", "--tile", "16")
    with Image.open("out/a_x2.jpg") as made:
        assert made.size == (16, 12)
        assert b"self-ensemble" in made.info["comment"]


def test_results_among_the_inputs_are_left_out(folder: Path) -> None:
    invoke("a.png")
    assert "1 left out: they are results of others" in invoke("a.png", "a_x2.png").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tile", "0"], "--tile is '0', expected auto or a number"),
        (["--tile", "big"], "--tile is 'big'"),
        (["--executor", "cloud"], "--executor is 'cloud', expected local or ray"),
        (["--scale", "3"], "--scale is 3, but net.qsr is for x2"),
        (["--depth", "4"], "--depth is 4, this network has none"),
        (["--format", "gif"], "--format is 'gif', expected one of png, jpg, webp, tiff, same"),
    ],
)
def test_arguments_that_make_no_sense(folder: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        invoke("a.png", *arguments)


def test_files_are_handed_to_ray(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qsr.upscale import batch, ray_files

    def run_on_ray(model, jobs, how, threads, tell, tick):
        assert (model, threads) == (Path("net.qsr"), 3)
        for job in jobs:
            tell(batch.Outcome(job, "done", size=(1, 1), pixels=1, seconds=1))

    monkeypatch.setattr(ray_files, "run_on_ray", run_on_ray)
    assert "1 done" in invoke("a.png", "--executor", "ray", "--threads", "3").stdout


def test_a_bar_on_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with upscale_verb._Screen(2) as screen:
        screen.tick(1000)
        screen.say("[red]a.png[/red]")
        screen.step()
        assert screen._progress is not None
        assert screen._progress.tasks[0].completed == 1


CHILD = """
import sys
sys.path[:0] = [{tests!r}]
from upscale_fakes import Nearest
from qsr.upscale import choose
class Slow(Nearest):
    def rows(self, *rest):
        import time
        print("begun", flush=True)
        time.sleep(60)
choose.open_network = lambda path, threads: Slow()
sys.argv = ["qsr", "upscale", "a.png", "-m", "net.qsr", "-o", "out/"]
from qsr.cli.main import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_half_written(folder: Path, repository: Path, number: signal.Signals) -> None:
    code = CHILD.format(tests=str(repository / "tests" / "upscale"))
    where = {**os.environ, "PYTHONPATH": str(repository)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-c", code], env=where, text=True, preexec_fn=HEARING, **pipes)
    assert child.stdout
    assert child.stdout.readline() == "begun\n"
    time.sleep(0.05)
    child.send_signal(number)
    told, errors = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in errors
    assert "0 done" in told
    assert not any(path.is_file() for path in (folder / "out").glob("*"))


def test_the_process_knows_no_torch(repository: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['qsr', 'upscale', 'gone.png', '-m', 'gone.qsr']\n"
        "from qsr.cli.main import main\n"
        "from qsr.upscale import batch, large, ray_files, save, video\n"
        "import qsr.zoo.index\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 2\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.stderr.startswith("qsr: gone.qsr: no such model")
    loaded = set(eval(done.stdout))
    assert not loaded & {"torch", "cv2", "numba", "scipy", "skimage", "rich", "av", "pyvips", "ray"}
