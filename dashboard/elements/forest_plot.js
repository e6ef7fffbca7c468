// A forest plot as Plotly describes it to an SVG: scatters over categories, a band and a line, words below the axis.

const NAMESPACE = "http://www.w3.org/2000/svg";
const NUMBERS = { f8: Float64Array, f4: Float32Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array };
const MARGIN = { top: 56, right: 12, bottom: 64, left: 8 }; // CSS pixels
const NEAR = 20; // CSS pixels from a point within which it says what it is
const SAVED = 420; // CSS pixels of width that a saved picture has at least
const SCALE = 3; // pixels of a saved picture for each CSS pixel
const SAVE = '<svg viewBox="0 0 24 24" fill="currentColor" aria-hidden="true"><path d="M4 6h3l2-2h6l2 2h3a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1zm8 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z"/></svg>';

function make(tag, attributes = {}, ...children) {
  const one = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.append(...children);
  return one;
}

// A list, also from the base64 in which Plotly's descriptions carry arrays; rows of two dimensions as lists of lists.
function list(values) {
  if (!values?.bdata) return values ?? [];
  const bytes = Uint8Array.from(atob(values.bdata), (one) => one.charCodeAt(0));
  const flat = [...new NUMBERS[values.dtype](bytes.buffer)];
  if (!values.shape) return flat;
  const width = Number(String(values.shape).split(",")[1]);
  return Array.from({ length: flat.length / width }, (_, row) => flat.slice(row * width, (row + 1) * width));
}

const each = (value, at) => (Array.isArray(value) ? value[at] : value);

// "%{x:+.4f}" and the like.
function filled(template, point) {
  const number = (value, form) => {
    const digits = Number(/\.(\d+)f/.exec(form ?? "")?.[1] ?? 4);
    const text = Math.abs(value).toFixed(digits);
    return `${value < 0 ? "\u2212" : form?.startsWith("+") ? "+" : ""}${text}`;
  };
  return template
    .replace(/<extra>.*<\/extra>/, "")
    .replace(/%\{(\w+)(?:\[(\d+)\])?(?::([^}]+))?\}/g, (_, name, index, form) => {
      const value = index === undefined ? point[name] : point[name][Number(index)];
      return typeof value === "number" ? number(value, form) : String(value);
    });
}

// Round numbers between -reach and reach, about as many as wished.
function ticks(reach, wished) {
  const rough = (2 * reach) / wished, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const last = Math.floor(reach / step + 1e-9);
  return Array.from({ length: 2 * last + 1 }, (_, at) => Number(((at - last) * step).toPrecision(12)));
}

const said = (value) => `${value < 0 ? "\u2212" : ""}${Number(Math.abs(value).toPrecision(6))}`;

function symbol(name, x, y, size, attributes) {
  const half = size / 2;
  if (name === "diamond") {
    const wide = half * 1.3;
    return make("path", { d: `M${x - wide},${y}L${x},${y - wide}L${x + wide},${y}L${x},${y + wide}Z`, ...attributes });
  }
  if (name === "line-ns-open") return make("path", { d: `M${x},${y - half * 1.4}V${y + half * 1.4}`, ...attributes });
  return make("circle", { cx: x, cy: y, r: half, ...attributes });
}

function measure(words, font) {
  const brush = document.createElement("canvas").getContext("2d");
  brush.font = font;
  return (word) => brush.measureText(word).width;
}

// Words that fit into a width, with an ellipsis where they were cut.
function fitting(word, most, width) {
  if (width(word) <= most) return word;
  let end = word.length;
  while (end > 1 && width(`${word.slice(0, end)}…`) > most) end -= 1;
  return `${word.slice(0, end)}…`;
}

function drawing({ data, layout }, width, alt, family = layout.font.family) {
  const { height, xaxis, yaxis } = layout;
  const points = data.filter(({ mode }) => mode === "markers"), names = [...new Set(points.flatMap(({ y }) => list(y)))];
  const long = measure(names, `${yaxis.tickfont.size}px ${family}`), most = 0.45 * width;
  const left = MARGIN.left + Math.min(most, Math.max(0, ...names.map(long))) + 6, right = width - MARGIN.right;
  const top = MARGIN.top, bottom = height - MARGIN.bottom, reach = xaxis.range[1], row = (bottom - top) / Math.max(1, names.length);
  const x = (value) => left + ((Number(value) + reach) / (2 * reach)) * (right - left), y = (name) => top + (names.indexOf(name) + 0.5) * row;
  const text = (words, attributes) => make("text", { "font-family": family, ...attributes }, words);
  const svg = make("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": alt });
  svg.append(make("rect", { width, height, fill: layout.paper_bgcolor }));
  const { title } = layout, heading = { x: left, fill: title.font.color, "font-size": title.font.size, "font-weight": title.font.weight };
  svg.append(text(title.text, { ...heading, y: 22 }));
  if (title.subtitle) svg.append(text(title.subtitle.text, { x: left, y: 40, fill: title.subtitle.font.color, "font-size": title.subtitle.font.size }));
  const drawShape = ({ type, x0, x1, fillcolor, line }) =>
    svg.append(
      type === "rect"
        ? make("rect", { x: x(x0), y: top, width: x(x1) - x(x0), height: bottom - top, fill: fillcolor })
        : make("path", { d: `M${x(x0)},${top}V${bottom}`, stroke: line.color, "stroke-width": line.width }),
    );
  layout.shapes.filter(({ layer }) => layer === "below").forEach(drawShape);
  for (const value of ticks(reach, xaxis.nticks)) {
    svg.append(make("path", { d: `M${x(value)},${top}V${bottom}`, stroke: xaxis.gridcolor, "stroke-width": 1 }));
    svg.append(text(said(value), { x: x(value), y: bottom + 16, "text-anchor": "middle", fill: xaxis.tickfont.color, "font-size": xaxis.tickfont.size }));
  }
  layout.shapes.filter(({ layer }) => layer !== "below").forEach(drawShape);
  for (const name of names) {
    const label = text(fitting(name, most, long), { x: left - 6, y: y(name), "text-anchor": "end", "dominant-baseline": "central", fill: yaxis.tickfont.color, "font-size": yaxis.tickfont.size });
    label.append(make("title", {}, name));
    svg.append(label);
  }
  for (const { x: ends, y: rows, line } of data.filter(({ mode }) => mode === "lines")) {
    const spots = list(ends).map((end, at) => (Number.isFinite(end ?? NaN) ? `${x(end)},${y(list(rows)[at])}` : null));
    const path = spots.map((spot, at) => (spot ? `${at && spots[at - 1] ? "L" : "M"}${spot}` : "")).join("");
    svg.append(make("path", { d: path, fill: "none", stroke: line.color, "stroke-width": line.width }));
  }
  const found = points.flatMap((trace) => {
    const values = list(trace.x), rows = list(trace.y), extra = list(trace.customdata), { marker } = trace;
    return values.map((value, at) => {
      const kind = each(marker.symbol, at) ?? "circle", color = each(marker.color, at), open = kind.endsWith("-open");
      const stroke = open ? color : (marker.line.color ?? "none");
      svg.append(symbol(kind, x(value), y(rows[at]), each(marker.size, at), { fill: open ? "none" : color, stroke, "stroke-width": marker.line.width }));
      return { x: x(value), y: y(rows[at]), html: filled(trace.hovertemplate, { x: value, y: rows[at], customdata: extra[at] }) };
    });
  });
  for (const { text: words, x: side, font: look } of layout.annotations)
    svg.append(text(words, { x: side ? right : left, y: bottom + 38, "text-anchor": side ? "end" : "start", fill: look.color, "font-size": look.size }));
  return { svg, points: found };
}

// The lines of a hover text, where only <b> and <br> are markup.
function lines(label, html) {
  label.replaceChildren(
    ...html.split("<br>").map((line) => {
      const bold = /^<b>(.*)<\/b>$/.exec(line), one = document.createElement(bold ? "b" : "div");
      one.style.display = "block";
      one.textContent = bold ? bold[1] : line;
      return one;
    }),
  );
}

function follow(root, svg, points, look) {
  const label = Object.assign(document.createElement("div"), { className: "label", hidden: true });
  Object.assign(label.style, { background: look.bgcolor, borderColor: look.bordercolor, color: look.font.color });
  const show = ({ clientX, clientY }) => {
    const box = svg.getBoundingClientRect(), away = (one) => Math.hypot(box.left + one.x - clientX, box.top + one.y - clientY);
    const nearest = points.reduce((best, one) => (!best || away(one) < away(best) ? one : best), null);
    label.hidden = !nearest || away(nearest) > NEAR;
    if (label.hidden) return;
    lines(label, nearest.html);
    const room = root.clientWidth - label.offsetWidth;
    label.style.left = `${Math.max(0, Math.min(room, nearest.x + 12))}px`;
    label.style.top = `${nearest.y + 12}px`;
  };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", () => (label.hidden = true));
  return label;
}

// As a picture of its own the drawing cannot have the page's fonts, so it is drawn again in one that is always there.
async function save(figure, shown, { alt, name }) {
  const width = Math.max(shown, SAVED), { height } = figure.layout;
  const text = new XMLSerializer().serializeToString(drawing(figure, width, alt, "sans-serif").svg);
  const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  const picture = Object.assign(new Image(), { src: address });
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: SCALE * width, height: SCALE * height });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(address);
  const file = URL.createObjectURL(await new Promise((done) => canvas.toBlob(done, "image/png")));
  Object.assign(document.createElement("a"), { href: file, download: `${name}.png` }).click();
  setTimeout(() => URL.revokeObjectURL(file), 60_000);
}

function draw(root, figure, data) {
  const width = root.clientWidth;
  if (!width) return; // hidden: drawn when it is seen
  const { svg, points } = drawing(figure, width, data.alt);
  const button = Object.assign(document.createElement("button"), { type: "button", className: "modebar-btn", title: "Download as PNG", innerHTML: SAVE });
  button.setAttribute("aria-label", "Download as PNG");
  button.style.color = figure.layout.font.color;
  button.addEventListener("click", () => save(figure, width, data));
  root.replaceChildren(svg, button, follow(root, svg, points, figure.layout.hoverlabel));
  root.dataset.width = String(width);
  root.dataset.drawn = "true";
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".forest-plot"), figure = JSON.parse(data.figure);
  root.style.minHeight = `${figure.layout.height}px`;
  draw(root, figure, data);
  const sizes = new ResizeObserver(() => String(root.clientWidth) !== root.dataset.width && draw(root, figure, data));
  sizes.observe(root);
  let away = false;
  document.fonts.ready.then(() => away || draw(root, figure, data)); // widths of words are those of the page's font
  return () => ((away = true), sizes.disconnect());
}
