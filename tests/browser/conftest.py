"""Fixtures of the browser tests; without Chromium they are skipped, on a CI machine they fail."""

import os

import pytest
from browser import driver


@pytest.fixture(scope="session")
def chromium():
    if driver.chromium() is None:
        message = "no Chromium: install it or set CHROMIUM to its path"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with driver.browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def spare_windows(chromium):
    """Wiped windows by their options, for the next test: a page in a new window takes twice as long to come."""
    spare = {}
    yield spare
    for viewer in [one for some in spare.values() for one in some]:
        viewer.close()


@pytest.fixture
def window(chromium, spare_windows):
    """Opens windows; each must be free of problems at the end.

    fresh: for a test that changes the window itself, which is thrown away afterwards.
    """
    opened = []

    def new(*, fresh=False, **options):
        spare = [] if fresh else spare_windows.setdefault(tuple(sorted(options.items())), [])
        viewer = spare.pop() if spare else driver.Viewer(chromium, **options)
        opened.append((viewer, None if fresh else spare))
        return viewer

    yield new
    problems = [problem for viewer, _ in opened for problem in viewer.problems]
    for viewer, spare in opened:
        if spare is not None and not viewer.problems and viewer.wipe():
            spare.append(viewer)
        else:
            viewer.close()
    assert problems == []


@pytest.fixture(scope="session")
def site(real_runs, tmp_path_factory):
    """Address of the app with a real run of each kind."""
    with driver.server(real_runs, cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address


@pytest.fixture(scope="session")
def empty_site(tmp_path_factory):
    """Address of the app without a run."""
    with driver.server(tmp_path_factory.mktemp("no-runs"), cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address
