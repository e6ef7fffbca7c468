"""A browser's window on the app: opens pages, moves sliders, turns to the next image, and says how long each took."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from benchmarks.dashboard.wire import Relay

SIZE: Final = {"width": 1280, "height": 900}
_TIMEOUT: Final = 120_000  # milliseconds
_QUIET: Final = 250  # milliseconds without a change after which a page is taken to stand still
_NO_ANSWER: Final = 1.5  # seconds: a key that asks for nothing by then has moved nothing
_SLIDERS: Final = ":is([data-testid=stMain], [data-testid=stPopoverBody]) [data-testid=stSlider] input[type=range]"
_BUTTONS: Final = "[data-testid=stMain] [data-testid=stButton] button"
_ERRORS: Final = "[data-testid=stException], [data-testid=stAlertContentError]"
_POPOVER: Final = "[data-testid=stPopoverBody]"
_POPOVERS: Final = "[data-testid=stMain] [data-testid=stPopover] button"

# Runs in the page before anything else. Notes when the last message left for the server, when the content last changed,
# and since when the page has been whole: drawn, with no script at work, no figure missing and no image loading.
_WATCH: Final = """
(() => {
  const watch = (window.__watch = { sent: 0, changed: 0, whole: null, drawn: 0 });
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) { watch.sent = performance.now(); return send.call(this, data); };
  const all = (what) => [...document.querySelectorAll(what)];
  // The viewer of images lives in its component's shadow; it says which image it has drawn.
  watch.viewer = () => {
    const roots = all("[data-testid^=stBidiComponent]").flatMap((one) => [one, ...one.querySelectorAll("*")]);
    for (const one of roots) {
      const found = one.shadowRoot?.querySelector(".viewer") ?? (one.matches(".viewer") ? one : null);
      if (found) return found;
    }
    return null;
  };
  watch.onceDrawn = (before) => {
    const look = () => {
      const now = watch.viewer()?.dataset.drawn;
      if (now && now !== before) watch.drawn = performance.now();
      else requestAnimationFrame(look);
    };
    watch.drawn = 0;
    requestAnimationFrame(look);
  };
  const isWhole = () =>
    document.querySelector("[data-testid=stApp][data-test-script-state=notRunning]") !== null &&
    document.querySelector("[data-testid=stMain] [data-testid=stElementContainer]") !== null &&
    all("[data-testid=stSkeleton], [data-testid=stSpinner]").length === 0 &&
    all("[data-testid=stPlotlyChart]").every((chart) => chart.querySelector(".main-svg")) &&
    all(".stBidiComponent").every((one) => one.querySelector("[data-testid=stBidiComponentIsolated], [data-drawn]")) &&
    all("[data-testid=stMain] img").every((image) => image.complete);
  const look = () => {
    const whole = isWhole();
    if (!whole) watch.whole = null;
    else if (watch.whole === null) watch.whole = performance.now();
  };
  document.addEventListener("load", look, true);
  new MutationObserver((changes) => {
    const inside = (one) => one.target.closest?.("[data-testid=stMainBlockContainer]");
    if (changes.some(inside)) watch.changed = performance.now();
    look();
  }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
})();
"""
_STANDS_STILL: Final = f"""
() => window.__watch?.whole !== null && performance.now() - Math.max(__watch.changed, __watch.whole) > {_QUIET}
"""


class Move(NamedTuple):
    """One step of a control.

    seconds, size: of the server (wire.Rerun); redrawn: seconds from the wish for a rerun to the last change in the
    window, or until the viewer has drawn the image.
    """

    seconds: float
    size: int
    redrawn: float


class Slider(NamedTuple):
    """A slider. name: what is written over it; place: which one of the page; popover: which one holds it, or None."""

    name: str
    place: int
    popover: int | None


class Stuck(Exception):
    """The app did not do what a reader's hand asked of it."""


class Window:
    """One reader's window of SIZE.

    new: a browser whose windows have nothing in their caches; known: one that has shown the app, to take instead.
    """

    def __init__(self, new: Any, through: Relay, *, known: Any = None) -> None:
        self._own = None if known else new.new_context(viewport=SIZE)
        self._relay = through
        self.page = (known or self._own).new_page()
        self.page.set_default_timeout(_TIMEOUT)
        self.page.add_init_script(_WATCH)

    def open(self, path: str) -> float:
        """Open an address of the app, such as "calibration?run=a"; seconds until it was usable.

        Raises Stuck when the page shows an error.
        """
        self._relay.clear()
        self.page.goto(f"{self._relay.address}/{path}", wait_until="commit")
        self._settle()
        if errors := self.page.locator(_ERRORS).all_inner_texts():
            raise Stuck(f"{path} shows an error: {errors[0]}")
        return float(self.page.evaluate("() => window.__watch.whole")) / 1000

    def _settle(self) -> None:
        self.page.wait_for_function(_STANDS_STILL, polling=50)

    def sliders(self) -> list[Slider]:
        """Sliders of the page, those in popovers too."""
        found = list(self._shown(None))
        for number in range(self.page.locator(_POPOVERS).count()):
            self._open_popover(number)
            found += list(self._shown(number))
            self._close_popover()
        return found

    def _shown(self, popover: int | None) -> Iterator[Slider]:
        thumbs = self.page.locator(_SLIDERS)
        for place in range(thumbs.count()):
            inside = thumbs.nth(place).evaluate("one => one.closest('[data-testid=stPopoverBody]') !== null")
            if inside == (popover is not None):
                yield Slider(str(thumbs.nth(place).get_attribute("aria-label")), place, popover)

    def _open_popover(self, number: int) -> None:
        self.page.locator(_POPOVERS).nth(number).click()
        self.page.wait_for_selector(_POPOVER, state="visible")

    def _close_popover(self) -> None:
        self.page.keyboard.press("Escape")
        self.page.wait_for_selector(_POPOVER, state="hidden")

    def hold(self, slider: Slider) -> "Held":
        """Take a slider in the hand: at its lower end, so that each value is seen before any is seen again."""
        if slider.popover is not None:
            self._open_popover(slider.popover)
        self.page.locator(_SLIDERS).nth(slider.place).focus()
        self.after(lambda: self.page.keyboard.press("Home"))
        return Held(self, slider)

    def let_go(self, slider: Slider) -> None:
        """Close the popover that was opened for a slider."""
        if slider.popover is not None:
            self._close_popover()

    def next_image(self) -> Move:
        """Turn to the next image. redrawn: until the viewer has drawn it. Raises Stuck when nothing happens."""
        self.page.evaluate("() => __watch.onceDrawn(__watch.viewer()?.dataset.drawn)")
        button = self.page.locator(_BUTTONS).filter(has_text="Next").first
        move = self.after(button.click)
        if move is None:
            raise Stuck("the button Next asks the server for nothing")
        try:
            self.page.wait_for_function("() => window.__watch.drawn > 0", timeout=20_000)
        except Exception:
            raise Stuck("the viewer of images does not say that it has drawn the next one") from None
        return move._replace(redrawn=float(self.page.evaluate("() => __watch.drawn - __watch.asked")) / 1000)

    def after(self, action: Callable[[], Any]) -> Move | None:
        """What an action cost; None when it asked the server for nothing."""
        self._relay.clear()
        start = time.perf_counter()
        action()
        while not self._relay.asked():
            if time.perf_counter() - start > _NO_ANSWER:
                return None
            self.page.wait_for_timeout(5)
        self.page.evaluate("() => (__watch.asked = __watch.sent)")
        while not (answered := self._relay.reruns()):
            if time.perf_counter() - start > _TIMEOUT / 1000:
                raise Stuck("the server does not answer")
            self.page.wait_for_timeout(5)
        self._settle()
        redrawn = float(self.page.evaluate("() => __watch.changed - __watch.asked")) / 1000
        return Move(answered[0].seconds, answered[0].size, redrawn)

    def close(self) -> None:
        """Close the window."""
        (self._own or self.page).close()


class Held:
    """A slider in the hand, moved to and fro by one step at a time."""

    def __init__(self, window: Window, slider: Slider) -> None:
        self._window, self._slider, self._key = window, slider, "ArrowRight"

    def move(self) -> Move:
        """One step on, or back from the end. Raises Stuck when it moves neither way."""
        for _ in range(2):
            move = self._window.after(lambda: self._window.page.keyboard.press(self._key))
            if move is not None:
                return move
            self._key = "ArrowLeft" if self._key == "ArrowRight" else "ArrowRight"
        raise Stuck(f"the slider {self._slider.name} does not move by its keys")
