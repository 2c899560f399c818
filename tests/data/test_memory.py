from __future__ import annotations

import pytest

from qsr.data import memory
from qsr.data.image import list_pictures
from qsr.data.memory import PairCache, free_memory
from qsr.data.pairs import Pairs
from qsr.data.store import FolderStore


class _Counting(FolderStore):
    reads = 0

    def read(self, i):
        self.reads += 1
        return super().read(i)


@pytest.fixture
def pairs(make_folder):
    return Pairs(_Counting(list_pictures(make_folder("HR", a=(24, 24), b=(24, 24)))), None, 2)


def _reads_of_three_visits(pairs: Pairs, wanted: str) -> tuple[int, str]:
    cache = PairCache(pairs, [pairs.check_headers(i, 2) for i in range(2)], wanted)
    first = cache.get(0)
    assert cache.get(0).hr.tolist() == first.hr.tolist()
    assert cache.get(0).lr.tolist() == first.lr.tolist()
    return pairs.gt.reads, cache.policy


def test_pictures_that_fit_are_decoded_once(pairs):
    assert _reads_of_three_visits(pairs, "auto") == (1, "decoded pairs in memory (0 MiB)")


def test_none_decodes_every_time(pairs):
    assert _reads_of_three_visits(pairs, "none") == (3, "every picture decoded for every patch")


def test_auto_keeps_only_the_made_lr_when_pairs_do_not_fit(pairs, monkeypatch):
    # a pair is 24*24*3 + 12*12*3 bytes; LR is a fifth of that
    monkeypatch.setattr(memory, "free_memory", lambda: 2 * 2160 * 2)
    assert _reads_of_three_visits(pairs, "auto")[0] == 3
    assert _reads_of_three_visits(pairs, "auto")[1].startswith("LR pictures in memory")


def test_auto_keeps_nothing_when_memory_is_short_and_memory_insists(pairs, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    assert _reads_of_three_visits(pairs, "auto")[1].startswith("every picture decoded")
    assert _reads_of_three_visits(pairs, "memory")[1].startswith("decoded pairs")


def test_free_memory_is_plausible():
    assert 1 << 26 < free_memory() < 1 << 46
