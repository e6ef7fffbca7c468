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
