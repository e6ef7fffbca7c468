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


@pytest.fixture
def window(chromium):
    """Opens windows; each must be free of problems at the end."""
    opened = []

    def new(**options):
        opened.append(driver.Viewer(chromium, **options))
        return opened[-1]

    yield new
    problems = [problem for viewer in opened for problem in viewer.problems]
    for viewer in opened:
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
