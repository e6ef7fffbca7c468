"""Python to copy: highlighted, with a button. Streamlit's own needs 1.6 MB of script, for every language there is."""

import keyword
from typing import Final

import streamlit as st

_JS: Final = r"""
const COMMENT = /(#.*)/, STRING = /("{3}[\s\S]*?"{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')/;
const NUMBER = /\b(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b/, WORD = /([A-Za-z_]\w*)/;
const PARTS = new RegExp([COMMENT, STRING, NUMBER, WORD].map(({ source }) => source).join("|"), "g");

function highlighted(text, keywords) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(PARTS)) {
    const [whole, comment, string, number, word] = match;
    const kind = comment ? "comment" : string ? "string" : number ? "number" : keywords.includes(word) ? "keyword" : "";
    if (!kind) continue;
    const one = Object.assign(document.createElement("span"), { className: kind, textContent: whole });
    found.push(text.slice(end, match.index), one);
    end = match.index + whole.length;
  }
  return [...found, text.slice(end)];
}

async function copy(text, beside) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without https there is no clipboard but this one.
  const area = Object.assign(document.createElement("textarea"), { value: text });
  beside.after(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export default function ({ data, parentElement }) {
  const code = parentElement.querySelector("code"), button = parentElement.querySelector("button");
  code.replaceChildren(...highlighted(data.text, data.keywords));
  button.onclick = async () => {
    await copy(data.text, button);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
}
"""
_CSS: Final = """
div { position: relative; }
pre { margin: 0; padding: 1rem; border-radius: var(--st-base-radius); background: var(--st-secondary-background-color);
  color: var(--st-text-color); font: .875rem/1.5 var(--st-code-font); white-space: pre-wrap; overflow-wrap: anywhere; }
code { font: inherit; }
.comment { color: color-mix(in srgb, var(--st-text-color) 72%, transparent); }
.keyword { color: var(--st-link-color); font-weight: 600; }
.string { color: var(--st-green-text-color); }
.number { color: var(--st-violet-text-color); }
button { position: absolute; top: .5rem; right: .5rem; font: inherit; font-size: .8rem; padding: .25rem .6rem;
  cursor: pointer; color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
"""
_code = st.components.v2.component(
    "python_code",
    html='<div><pre tabindex="0"><code></code></pre><button type="button">Copy</button></div>',
    css=_CSS,
    js=_JS,
)


def python_code(text: str, *, key: str) -> None:
    """Text as Python, in lines that break, with a button that copies it."""
    _code(data={"text": text, "keywords": keyword.kwlist}, key=key)
