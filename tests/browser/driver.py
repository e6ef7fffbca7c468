"""The app in its own process and Chromium to look at it; everything that goes wrong on a page is noted."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Error, sync_playwright

from dashboard import menu

REPO = Path(__file__).resolve().parents[2]
PAGES = tuple("" if name == "verdict" else name for name in menu.PAGES)  # as addresses name them
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
# On /page Streamlit's client asks for /page/_stcore/… before it finds the server's root; each 404 shows in the console.
_PROBES = ("/_stcore/health", "/_stcore/host-config")
_TIMEOUT = 90_000  # milliseconds; a busy machine takes its time
_LOOK_EVERY = 100  # milliseconds; looking at every frame, Playwright's own way, costs the page a tenth of its time
# Notes when the page last asked the server for something, and when it last heard of it.
_LISTEN = """(() => {
  window.askedAt = window.heardAt = 0;
  window.WebSocket = class extends window.WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", () => (window.heardAt = performance.now()));
    }
    send(data) {
      window.askedAt = performance.now();
      super.send(data);
    }
  };
})()"""
# True once the page has stood still, and asked and heard nothing, for 300 ms. A page whose question is on its way to a
# busy server stands still too, and so did one that was looked at before it was clicked on.
_QUIET = """() => {
  const app = document.querySelector("[data-testid=stApp]");
  const charts = [...document.querySelectorAll("[data-testid=stPlotlyChart]")];
  const forests = [...document.querySelectorAll(".forest-plot")];
  const drawn = charts.every((chart) => chart.querySelector(".main-svg")) && forests.every((one) => one.dataset.drawn);
  const stale = document.querySelector("[data-stale=true], [data-testid=stSkeleton]");
  const waits = window.askedAt > window.heardAt && performance.now() - window.askedAt < 5000; // not all is answered
  if (!drawn || stale || waits || app?.dataset.testScriptState !== "notRunning") {
    window.quietSince = undefined;
    return false;
  }
  window.quietSince ??= performance.now();
  return performance.now() - Math.max(window.quietSince, window.askedAt, window.heardAt) > 300;
}"""


def chromium():
    """Path of a Chromium, or None."""
    given = os.environ.get("CHROMIUM")
    found = given or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
        found = own if Path(own).exists() else None
    return found


@contextmanager
def server(runs, *, cwd, app=REPO / "dashboard" / "app.py"):
    """The app on a free port of this machine, started from another folder; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(app),
        f"--server.port={port}",
        "--server.headless=true",
    ]
    environment = os.environ | {"PIPELINES_RUNS": str(runs)}
    environment.pop("VALIDATE_FIGURES", None)  # as users run it
    log = Path(cwd) / f"server-{port}.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=file, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/_stcore/health", process, log)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(url, process, log):
    deadline = time.monotonic() + 180  # on a busy machine
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the app did not start: {log.read_text()[-2000:]}")


@contextmanager
def browser():
    """Chromium without a window."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=list(_FLAGS))
        try:
            yield opened
        finally:
            opened.close()


class Viewer:
    """One reader's window. problems: console errors, failed requests and requests to the outside."""

    def __init__(self, opened, *, width=1280, height=900, scheme="light"):
        self._size = {"width": width, "height": height}
        # Every frame of something that moves is drawn by the CPU here; a page that keeps still loads a tenth faster.
        self._context = opened.new_context(viewport=self._size, color_scheme=scheme, reduced_motion="reduce")
        self._context.add_init_script(_LISTEN)
        self.page = self._context.new_page()
        self.page.set_default_timeout(_TIMEOUT)
        self.problems = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"error in the page: {error}"))
        self.page.on("request", self._request)

    def _console(self, message):
        if message.type == "error" and not message.location.get("url", "").endswith(_PROBES):
            self.problems.append(f"console: {message.text} {message.location.get('url', '')}")

    def _request(self, request):
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.problems.append(f"request to the outside: {request.url}")

    def open(self, url):
        """Open an address and wait until the page stands still."""
        self.page.goto(url)
        # Before the session begins no script runs either: a first element is the sign that it has.
        self.page.wait_for_selector("[data-testid=stMain] [data-testid=stElementContainer]", state="attached")
        return self.settle()

    def settle(self):
        """Wait until no script runs, nothing on the page is of an older run and every figure is drawn, for a while."""
        self.page.wait_for_timeout(200)  # what was just done has to reach the server
        self.page.wait_for_function(_QUIET, polling=_LOOK_EVERY)
        return self

    def shown_errors(self):
        """Texts of exceptions and error boxes on the page."""
        boxes = self.page.locator("[data-testid=stException], [data-testid=stAlertContentError]")
        return boxes.all_inner_texts()

    def wipe(self):
        """Forget all that was done in the window; returns whether it is as good as new."""
        try:
            self._context.unroute_all(behavior="ignoreErrors")
            self.page.unroute_all(behavior="ignoreErrors")
            self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
            self.page.goto("about:blank", timeout=5000)
            self.page.mouse.move(0, 0)
            self.page.set_viewport_size(self._size)
            self._context.clear_cookies()
        except Error:
            return False
        self.problems.clear()
        return len(self._context.pages) == 1

    def close(self):
        """Close the window."""
        self._context.close()
