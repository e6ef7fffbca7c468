// What the colours mean that are on screen; class names are buttons that hide the class.

// on(codes): whether one of these layers is shown; turn(c): show or hide a class, returns whether it is shown.
function legendParts({ header, painter, rule, on, turn }) {
  const { codes, heads } = header, parts = [], single = painter.exclusive && rule === "max";
  const text = (textContent, className = "chip") => element("span", { className, textContent });
  const chip = (color, words) => element("span", { className: "chip" }, swatch(color), element("span", { textContent: words }));
  const counts = (color, words) => [chip(color, `${words}, not so in the truth`), chip(`${color}4b`, "as in the truth")];
  if (on("tuab")) parts.push(...header.classes.map((name, c) => classButton(name, header.colors[c], !painter.hidden.has(c), () => turn(c))));
  if (on("ef") && !single) parts.push(chip(codes.more, "a label too many"), chip(codes.less, "a label missing"));
  if (on("ef")) parts.push(chip(codes.both, single ? "wrong label" : "one too many and one missing"));
  if (on("d")) parts.push(...heads.map(({ color, title }) => chip(color, `only ${title.toLowerCase()} right`)), chip(codes.neither, "they differ, neither right"));
  if (on("op")) parts.push(...counts(codes.more, "two labels or more"));
  if (on("vw")) parts.push(...counts(codes.less, "no label"));
  if (on("opvw") && single) parts.push(text("The highest p always gives one label: choose a threshold to see more."));
  if (on("cg")) {
    const stops = header.scale.map((rgb) => `rgb(${rgb.join(",")})`).join(",");
    const ramp = element("span", { className: "ramp", style: { background: `linear-gradient(to right,${stops})` } });
    parts.push(element("span", { className: "chip" }, `p = ${painter.low.toFixed(2)}`, ramp, "1"), text(header.notes.confidence, "chip quiet"));
  }
  if (painter.sample.ignored) parts.push(element("span", { className: "chip" }, element("span", { className: "swatch hatched" }), "ignored"));
  return parts;
}

function classButton(name, color, shown, onTurn) {
  const button = element("button", { type: "button", className: "chip", title: `Show or hide ${name}` }, swatch(color), element("span", { textContent: name }));
  const say = (now) => button.setAttribute("aria-pressed", String(now));
  say(shown);
  button.addEventListener("click", () => say(onTurn()));
  return button;
}
