"""What was found once holds, and what hypothesis makes up in a moment."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.target import CORPUS
from tests.fuzz.targets import TARGETS
from tests.fuzz.unguided import inputs

_FILES: Final = 250
_BYTES: Final = 200_000


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_of_a_target_holds(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    for file, data in seeds.items():
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"{name}/{file}: {data!r}")
            raise


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_target_holds_for_what_is_made_up(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    target.run(data.draw(inputs(target)))


def test_the_corpus_is_small_and_of_targets_that_there_are() -> None:
    assert {path.name for path in CORPUS.iterdir()} == TARGETS.keys()
    sizes = [path.stat().st_size for path in CORPUS.glob("*/*")]
    assert len(sizes) <= _FILES
    assert sum(sizes) <= _BYTES
