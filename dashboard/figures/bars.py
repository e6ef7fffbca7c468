"""Probabilities of one pixel to bars in HTML: light enough to follow a slider, and read aloud as text."""

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from dashboard.theme import Theme, words_in

STYLE: Final = (
    "<style>"
    ".rd{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:.9rem;color:var(--text)}"
    ".rd-card{border:1px solid var(--line);border-top:4px solid var(--head);border-radius:10px;"
    "padding:.85rem clamp(.6rem,1.6vw,1.15rem) .9rem;min-width:0}"
    ".rd-top{display:flex;flex-wrap:wrap;align-items:baseline;justify-content:space-between;gap:0 .8rem}"
    ".rd-name{font-size:1.15rem;font-weight:650;color:var(--words)}"
    ".rd-count{font-size:1.02rem;font-weight:620}"
    ".rd-said{color:var(--muted);font-size:.85rem;line-height:1.35;margin:.05rem 0 .55rem}"
    ".rd-said sub,.rd-said sup{font-size:.78em;line-height:0}.rd-said b{font-weight:500;color:var(--text)}"
    ".rd-said i{font-style:normal}"
    ".rd-row{display:grid;grid-template-columns:minmax(5.2rem,auto) 1fr 2.9rem;align-items:center;"
    "gap:.15rem .6rem;margin:.34rem 0;font-size:.92rem}"
    ".rd-chip{display:inline-block;width:.7em;height:.7em;border-radius:3px;margin-right:.45em;"
    "box-shadow:0 0 0 1px var(--line)}"
    ".rd-row.off{color:var(--muted)}.rd-row.on .rd-label{font-weight:620}"
    ".rd-p{text-align:right;font-variant-numeric:tabular-nums;font-weight:600;white-space:nowrap}"
    ".rd-track{position:relative;height:1.05rem;background:var(--band);border-radius:4px}"
    ".rd-fill{position:absolute;inset:0 auto 0 0;border-radius:4px;transition:width .18s ease-out}"
    ".rd-cut{position:absolute;top:-.2rem;bottom:-.2rem;width:0;border-left:2px solid var(--text)}"
    ".rd-was{position:absolute;top:.12rem;bottom:.12rem;width:0;border-left:2px dotted var(--text);opacity:.75}"
    ".rd-unit{position:relative;display:flex;height:.8rem;background:var(--band);border-radius:4px;overflow:hidden}"
    ".rd-unit span{transition:width .18s ease-out;box-shadow:inset -1px 0 0 var(--surface)}"
    ".rd-units{margin:.75rem 0 .2rem}.rd-scale{position:relative;height:1.15rem;font-size:.76rem;color:var(--muted)}"
    ".rd-scale i{position:absolute;font-style:normal;transform:translateX(-50%)}"
    ".rd-scale i:first-child{transform:none}.rd-scale i:last-child{transform:translateX(-100%)}"
    ".rd-sum{font-size:.85rem;line-height:1.35;margin:0 0 .3rem}"
    ".rd-calls{border-top:1px solid var(--line);margin-top:.6rem;padding-top:.5rem;display:grid;"
    "grid-template-columns:auto 1fr auto;gap:.3rem .8rem;font-size:.9rem;align-items:baseline}"
    ".rd-rule{color:var(--muted);white-space:nowrap}"
    ".rd-mark{font-size:.78rem;font-weight:600;border-radius:99px;padding:.06rem .55rem;border:1px solid var(--line);"
    "color:var(--muted);white-space:nowrap;justify-self:end}"
    ".rd-mark.right{background:var(--text);border-color:var(--text);color:var(--surface)}"
    "@media (max-width:620px){.rd{gap:.5rem}.rd-row{grid-template-columns:1fr auto;gap:.1rem .4rem;margin:.45rem 0}"
    ".rd-row .rd-track{grid-column:1/-1;grid-row:2;height:.7rem}.rd-said i{display:none}"
    ".rd-calls{grid-template-columns:1fr;gap:.1rem}"
    ".rd-mark{justify-self:start;margin-bottom:.35rem;white-space:normal;border-radius:8px}}"
    "@media (prefers-reduced-motion:reduce){.rd-fill,.rd-unit span{transition:none}}"
    "</style>"
)


class Bar(NamedTuple):
    """A channel: p in [0, 1], p_before at temperature 1; is_label: False for a background channel."""

    name: str
    color: str
    p: float
    p_before: float
    is_label: bool = True


class Call(NamedTuple):
    """A decision: by which rule, which labels, and what that is worth, such as "right" or "misses nucleus"."""

    rule: str
    labels: str
    worth: str
    right: bool


class Reading(NamedTuple):
    """What one head makes of a pixel. given: in words, how many labels; total: what the sum of p says.

    said: what the head is, in words; formula: the same as HTML, which is shown as it is.
    """

    title: str
    said: str
    formula: str
    color: str
    given: str
    bars: tuple[Bar, ...]
    threshold: float
    total: str
    calls: tuple[Call, ...]


def readings_html(readings: Sequence[Reading], theme: Theme) -> str:
    """Heads side by side, in one fragment of HTML."""
    # As many units on both scales, so that what adds up to more than 1 is seen to be more.
    units = max(sum(bar.is_label for bar in reading.bars) for reading in readings)
    colors = f"--text:{theme.text};--muted:{theme.muted};--line:{theme.line};--band:{theme.band}"
    cards = "".join(_card(reading, units, theme) for reading in readings)
    return f'<div class="rd" style="{colors};--surface:{theme.surface}">{cards}</div>'


def shown_p(p: float) -> str:
    """A probability with two decimals that never says 0 or 1 of what is neither."""
    if 0 < p < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 <= p < 1 else f"{p:.2f}"


def _card(reading: Reading, units: int, theme: Theme) -> str:
    rows = "".join(_row(bar, reading) for bar in reading.bars)
    calls = "".join(
        f'<span class="rd-rule">{escape(call.rule)}</span><span>{escape(call.labels)}</span>'
        f'<span class="rd-mark{" right" if call.right else ""}">{escape(call.worth)}</span>'
        for call in reading.calls
    )  # fmt: skip
    return (
        f'<section class="rd-card" style="--head:{reading.color};--words:{words_in(reading.color, theme)}">'
        f'<div class="rd-top"><span class="rd-name">{escape(reading.title)}</span>'
        f'<span class="rd-count">{escape(reading.given)}</span>'
        f'</div><div class="rd-said"><i>{escape(reading.said)}: </i><b>{reading.formula}</b></div>{rows}'
        f"{_units(reading, units)}"
        f'<div class="rd-calls">{calls}</div></section>'
    )


def _row(bar: Bar, reading: Reading) -> str:
    on = bar.is_label and bar.p > reading.threshold
    cut = f'<span class="rd-cut" style="left:{100 * reading.threshold:.1f}%"></span>' if bar.is_label else ""
    moved = abs(bar.p - bar.p_before) > 0.005
    was = f'<span class="rd-was" style="left:{100 * bar.p_before:.1f}%"></span>' if moved else ""
    fill = reading.color if bar.is_label else "var(--muted)"
    return (
        f'<div class="rd-row {"on" if on else "off"}"><span class="rd-label">{_chip(bar)}{escape(bar.name)}</span>'
        f'<span class="rd-track" aria-hidden="true"><span class="rd-fill" style="width:{100 * bar.p:.2f}%;'
        f'background:{fill};opacity:{1 if on else 0.55}"></span>{was}{cut}</span>'
        f'<span class="rd-p">{escape(shown_p(bar.p))}</span></div>'
    )


def _chip(bar: Bar) -> str:
    return f'<span class="rd-chip" style="background:{bar.color}"></span>'


def _units(reading: Reading, units: int) -> str:
    """The probabilities end to end, on a scale of whole units."""
    parts = "".join(
        f'<span style="width:{100 * bar.p / units:.2f}%;background:{bar.color}"></span>' for bar in reading.bars
    )
    ticks = "".join(f'<i style="left:{100 * tick / units:.2f}%">{tick}</i>' for tick in range(units + 1))
    return (
        f'<div class="rd-units"><div class="rd-sum">{escape(reading.total)}</div>'
        f'<div class="rd-unit" aria-hidden="true">{parts}</div>'
        f'<div class="rd-scale" aria-hidden="true">{ticks}</div></div>'
    )
