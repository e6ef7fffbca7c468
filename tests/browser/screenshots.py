"""Pictures of every page for the documentation: `python -m tests.browser.screenshots --runs runs --out docs/images`."""

import argparse
import tempfile
from pathlib import Path

from pipelines.store.runs import list_runs
from tests.browser import driver, import_picture

_TALLEST = 2400  # pixels; longer pages are cut
_STEPS = 3200  # a page of steps is shown to its last


def main() -> None:
    """Take the pictures of one run, light and dark, at each width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=driver.REPO / "runs", help="folder that holds the runs")
    parser.add_argument("--run", help="name of the run; default: the newest")
    parser.add_argument("--out", type=Path, default=driver.REPO / "docs" / "images", help="folder for the PNG files")
    parser.add_argument("--widths", default="1280", help="comma-separated window widths in pixels")
    parser.add_argument("--pages", default="all", help="comma-separated names such as verdict,calibration")
    parser.add_argument("--schemes", default="light,dark", help="comma-separated: light, dark")
    options = parser.parse_args()
    runs = options.runs.resolve()  # the app is started elsewhere
    found = list_runs(runs)
    name = options.run or (found[0].name if found else None)
    if name is None:
        parser.error(f"there is no run in {runs}; make one first")
    pages = {page or "verdict": page for page in driver.PAGES}
    wanted = list(pages) if options.pages == "all" else options.pages.split(",")
    options.out.mkdir(parents=True, exist_ok=True)
    run = next(one for one in found if one.name == name)
    with tempfile.TemporaryDirectory() as cwd, import_picture.files_of(run) as brought, \
            driver.server(runs, cwd=cwd) as site, driver.browser() as opened:  # fmt: skip
        for width in map(int, options.widths.split(",")):
            for scheme in options.schemes.split(","):
                viewer = driver.Viewer(opened, width=width, height=900, scheme=scheme)
                for page in wanted:
                    file = options.out / f"{page}-{scheme}{'' if width == 1280 else f'-{width}'}.png"
                    viewer.page.set_viewport_size({"width": width, "height": 900})
                    if page == "import_outputs" and brought:
                        import_picture.fill_in(viewer, site, run)
                    elif page == "data":
                        _check_data(viewer, f"{site}/data?run={name}&data={run.config['dataset']}")
                    else:
                        viewer.open(f"{site}/{pages[page]}?run={name}")
                    if f"run={name}" not in viewer.page.url:
                        parser.error(f"{page} is not of run {name}: the app shows {viewer.page.url}")
                    _take(viewer, file, width=width, most=_STEPS if page == "import_outputs" else _TALLEST)
                    print(file)
                viewer.close()


def _check_data(viewer, address):
    """The page Data on the run's own data set, with what its check found."""
    viewer.open(address)
    check = viewer.page.get_by_role("button", name="Check")
    check.wait_for(timeout=60_000)
    if "again" not in check.inner_text():
        check.click()
        viewer.page.get_by_role("button", name="Check again").wait_for(timeout=600_000)
    viewer.settle()


def _take(viewer, file, *, width, most):
    tall = viewer.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    viewer.page.set_viewport_size({"width": width, "height": min(max(tall, 600), most)})
    viewer.page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
    viewer.settle()
    viewer.page.wait_for_timeout(700)
    viewer.page.screenshot(path=str(file))


if __name__ == "__main__":
    main()
