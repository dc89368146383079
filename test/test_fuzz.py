"""A short run of `fuzz_loaders`."""

from __future__ import annotations

from fuzz_loaders import fuzz


def test_damaged_files_are_refused_in_words_or_read() -> None:
    refused, crashed = fuzz(first=20_000, count=400)
    assert not crashed
    assert 100 < refused < 400  # some damage does no harm: the cases get past the first check
