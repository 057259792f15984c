"""What several tests of training share."""

from collections.abc import Iterator

import pytest

from tests.training.small_model import in_place_of_ecapa


@pytest.fixture(scope="module")
def small_model() -> Iterator[None]:
    """The small model in ECAPA-TDNN's place, in one module."""
    with in_place_of_ecapa():
        yield
