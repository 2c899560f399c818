"""The page in a real browser: no overflow on a desk or a phone, and sorting, filter, views and copying by real events."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qsr.data.image import read_rgb
from qsr.report.board import read_board
from qsr.report.page import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium (Debian: apt-get install chromium)")


def chromium(folder: Path, *arguments: str) -> str:
    """Run headless with a profile of its own; returns stdout."""
    fixed = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]
    own = [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=4000"]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        [str(CHROMIUM), *fixed, *own, *arguments], capture_output=True, text=True, timeout=100, env=environment, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def whole(board_folder: Path) -> str:
    return page(read_board(board_folder))


def answer(whole: str, folder: Path, script: str, width: int) -> dict:
    """What `script` returns, run inside the page in a frame of `width` pixels (a window cannot be as narrow as a phone)."""
    asked = f"<script>addEventListener('load', async () => {{ parent.document.body.dataset.answer = JSON.stringify(await (async () => {{ {script} }})()); }});</script>"  # noqa: E501
    inside = html.escape(whole.replace("</body>", f"{asked}</body>"), quote=True)
    outside = folder / f"frame{width}.html"
    outside.write_text(
        f'<body style="margin:0"><iframe style="border:0" width="{width}" height="900" srcdoc="{inside}"></iframe>'
    )
    dom = chromium(folder, "--window-size=1400,1000", "--dump-dom", outside.as_uri())
    found = re.search(r'<body[^>]* data-answer="([^"]*)"', dom)
    assert found, "the page's script did not run to its end"
    return json.loads(html.unescape(found[1]))


# Each line is one visit; everything that is asked at one width is asked in it, because a browser takes seconds to start.
WIDE = """
  const board = document.getElementById("board"), names = () => [...board.tBodies[0].rows].map((row) => row.cells[0].dataset.v);
  const head = (words) => [...board.tHead.querySelectorAll("th")].find((one) => one.textContent === words);
  const column = (i) => [...board.tBodies[0].rows].map((row) => row.cells[i].dataset.v ?? null);
  const out = { width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth };
  head("ours").querySelector("button").click();
  out.best = column(2); out.sorted = head("ours").getAttribute("aria-sort");
  head("ours").querySelector("button").click();
  out.worst = column(2);
  head("method").querySelector("button").click();
  out.names = names(); out.unsorted = head("ours").getAttribute("aria-sort");
  head("params K").querySelector("button").click();
  out.params = column(11);
  document.querySelector('[data-filter="w2a2"]').click();
  out.rows = [...board.tBodies[0].rows].filter((row) => row.offsetParent !== null).map((row) => row.dataset.group ?? null);
  out.points = [...document.querySelectorAll("#cost g[data-group]")].filter((g) => getComputedStyle(g).display !== "none")
    .map((g) => g.dataset.group);
  document.querySelector('[data-filter=""]').click();
  out.all = [...board.tBodies[0].rows].filter((row) => row.offsetParent !== null).length;
  const linear = [...document.querySelectorAll("[data-switch=loss]")][1];
  out.before = [...document.querySelectorAll("[data-view=loss]")].filter((one) => !one.hidden).map((one) => one.dataset.is);
  linear.click();
  out.after = [...document.querySelectorAll("[data-view=loss]")].filter((one) => !one.hidden).map((one) => one.dataset.is);
  document.querySelector("a[data-rebuild]").click();
  const dialog = document.getElementById("rebuild-dialog");
  out.open = dialog.open; out.title = dialog.querySelector("h3").textContent;
  out.chosen = [...dialog.querySelectorAll(".chosen")].map((one) => one.textContent);
  let copied = null;
  Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true });
  document.execCommand = () => { copied = getSelection().toString(); return true; };
  const button = dialog.querySelector("[data-copy]");
  button.click();
  await new Promise((go) => setTimeout(go, 50));
  out.copied = copied; out.said = button.textContent; out.wanted = button.parentNode.querySelector("code").textContent;
  return out;
"""
NARROW = "return { width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth };"


@pytest.fixture(scope="module")
def wide(whole, tmp_path_factory):
    return answer(whole, tmp_path_factory.mktemp("wide"), WIDE, 1280)


def test_it_fits_a_desk_and_a_phone(whole, wide, tmp_path):
    assert (wide["width"], wide["overflow"]) == (1280, 0)
    narrow = answer(whole, tmp_path, NARROW, 390)
    assert (narrow["width"], narrow["overflow"]) == (390, 0)


def test_a_click_sorts_and_another_turns_it_round(wide):
    numbers = [float(value) for value in wide["best"] if value is not None]
    assert len(numbers) > 10
    assert numbers == sorted(numbers, reverse=True)
    assert wide["best"][-1] is None  # the failed row has no number and comes last, both times
    assert wide["worst"] == [*reversed([value for value in wide["best"] if value is not None]), None]
    assert wide["sorted"] == "descending"
    assert wide["unsorted"] == "none"
    assert wide["names"] == sorted(wide["names"], key=str.lower)
    params = [float(value) for value in wide["params"] if value is not None]
    assert params == sorted(params, reverse=True)


def test_the_filter_leaves_one_group_everywhere(wide):
    assert set(wide["rows"]) == {"w2a2", None}  # bicubic belongs to every group
    assert set(wide["points"]) == {"w2a2"}
    assert wide["all"] == 20


def test_log_or_linear(wide):
    assert set(wide["before"]) == {"0"}
    assert set(wide["after"]) == {"1"}


def test_a_number_shows_how_it_was_made_and_copies_without_the_clipboards_interface(wide):
    assert wide["open"]
    assert wide["title"].endswith(" on Set5")
    assert wide["chosen"][0] == "Set5"
    assert wide["copied"] == wide["wanted"]
    assert wide["copied"].startswith("qsr train")
    assert wide["said"] == "copied"


def test_the_screenshot_is_no_blank_sheet(whole, tmp_path):
    (tmp_path / "page.html").write_text(whole)
    shot = tmp_path / "shot.png"
    chromium(tmp_path, "--window-size=1280,1000", f"--screenshot={shot}", (tmp_path / "page.html").as_uri())
    picture = read_rgb(shot)
    assert picture.shape == (1000, 1280, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 200
