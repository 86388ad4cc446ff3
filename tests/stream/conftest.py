"""Every test here leaves no thread behind and ends within a time that no healthy one needs."""

from collections.abc import Iterator

import fakes
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/stream/" in item.path.as_posix() and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(30))


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = fakes.streamseg_threads()  # of a test that failed; it should not drag others along
    yield
    assert fakes.streamseg_threads() == before
