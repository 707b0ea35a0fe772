from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.entry import Entry


@pytest.fixture
def entry() -> Iterator[Entry]:
    made = Entry()
    yield made
    made.close()
