// Controls, tables and legends around the panes. Names come from files: they reach the page as text only.

function element(tag, options = {}, ...children) {
  const { style, data, ...rest } = options;
  const made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(style ?? {})) made.style.setProperty(name, value);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

function swatch(color) {
  return element("span", { className: "swatch", style: { "background-color": color } });
}

// Radio buttons in a fieldset; onPick(name).
function choice(fieldset, options, onPick) {
  const group = `${fieldset.dataset.name}`;
  const inputs = options.map(({ name, title }) => {
    const input = element("input", { type: "radio", name: group, value: name });
    input.addEventListener("change", () => onPick(name));
    fieldset.append(element("label", {}, input, element("span", { textContent: title })));
    return input;
  });
  return (name) => inputs.forEach((input) => (input.checked = input.value === name));
}

// Text of a cell of p: what its edges leave open is not shown.
function shownP(edges, code) {
  const below = code ? edges[code - 1] : 0, above = code < edges.length ? edges[code] : 1;
  if (above <= 0.005 + 1e-9) return `< ${Number(above.toPrecision(1))}`;
  if (below >= 0.995 - 1e-9) return `> ${Number(below.toFixed(6))}`;
  return ((below + above) / 2).toFixed(2);
}

function middlesOf(edges) {
  return Array.from({ length: edges.length + 1 }, (_, k) => ((k ? edges[k - 1] : 0) + (k < edges.length ? edges[k] : 1)) / 2);
}

function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const value = 100 * share;
  return value > 0 && value < 0.01 ? "< 0.01%" : `${value.toFixed(value && value < 1 ? 2 : 1)}%`;
}

// One row a class: name, truth, and a bar of each head. Returns show(sample, pixel, labels, cut).
function pixelTable(root, { classes, colors, heads, edges }) {
  const table = root.querySelector(".pixel table"), where = root.querySelector(".pixel .where");
  const headings = ["Class", "Truth", ...heads.map(({ title }) => title)];
  table.tHead.replaceChildren(
    element("tr", {}, ...headings.map((title, at) => {
      const cell = element("th", { scope: "col", textContent: title });
      if (at > 1) cell.style.setProperty("--head", heads[at - 2].color);
      return cell;
    })),
  );
  const rows = classes.map((name, c) => {
    const truth = element("td", { className: "truth" });
    const bars = heads.map(() => {
      const fill = element("span", { className: "fill", style: { "background-color": colors[c] } });
      const number = element("span", { className: "number" });
      const cell = element("td", { className: "p" }, element("span", { className: "track" }, fill), number);
      return { cell, fill, number };
    });
    const heading = element(
      "th", { scope: "row", title: name }, element("span", { className: "class" }, swatch(colors[c]), element("span", { textContent: name })),
    );
    const row = element("tr", { data: { class: String(c) } }, heading, truth, ...bars.map(({ cell }) => cell));
    return { row, truth, bars };
  });
  table.tBodies[0].replaceChildren(...rows.map(({ row }) => row));
  const middles = middlesOf(edges);
  return (sample, pixel, labels, { pinned, cut }) => {
    table.style.setProperty("--cut", cut === null ? "-1" : String(cut));
    if (!pixel) {
      where.textContent = "Point at a pixel to read its probabilities; click to keep it.";
      for (const { row, truth, bars } of rows) {
        row.classList.remove("true");
        truth.textContent = "";
        for (const { cell, fill, number } of bars) {
          fill.style.width = "0";
          number.textContent = "";
          cell.classList.remove("called");
        }
      }
      return "";
    }
    const i = pixel[1] * sample.width + pixel[0], full = pixel.map((one) => one * sample.step);
    const bit = (mask, c) => (mask[(c >> 5) * sample.pixels + i] >>> (c & 31)) & 1;
    const there = classes.filter((_, c) => bit(sample.truth, c));
    const truthText = sample.valid[i] ? `truth ${there.join(" and ") || "no label"}` : "ignored";
    where.replaceChildren(
      element("b", { textContent: `x ${full[0]}, y ${full[1]}` }),
      element("span", { textContent: `${truthText}${pinned ? ", kept" : ""}` }),
    );
    const said = [];
    rows.forEach(({ row, truth, bars }, c) => {
      const right = sample.valid[i] && bit(sample.truth, c);
      row.classList.toggle("true", Boolean(right));
      const share = sample.valid[i] && sample.soft ? sample.soft[c * sample.pixels + i] : 0;
      truth.textContent = [right ? "●" : "", share ? `${share}%` : ""].join(" ").trim();
      truth.ariaLabel = `${right ? "in" : "not in"} the truth${sample.soft ? `, soft truth ${share}%` : ""}`;
      bars.forEach(({ cell, fill, number }, h) => {
        const code = sample.codes?.[h][c * sample.pixels + i];
        fill.style.width = code === undefined ? "0" : `${100 * middles[code]}%`;
        number.textContent = code === undefined ? "…" : shownP(edges, code);
        const called = bit(labels[h], c);
        cell.classList.toggle("called", Boolean(called));
        if (called) said.push(`${heads[h].title} ${classes[c]} ${number.textContent}`);
      });
    });
    return `x ${full[0]}, y ${full[1]}: ${truthText}; ${said.join("; ") || (heads.length > 1 ? "no label from either head" : "no label")}`;
  };
}

// A row a layer: a box for each pane and one opacity. Returns refresh(view).
function layerTable(root, { heads }, onChange) {
  const table = root.querySelector(".layers table"), panes = heads.length > 1 ? [0, 1, 2] : [0, 1];
  const layers = LAYERS.filter(({ code }) => heads.length > 1 || !OF_TWO.includes(code));
  table.tHead.replaceChildren(
    element("tr", {}, ...["Layer", ...panes.map((pane) => String(pane + 1)), "Opacity"].map((text) => element("th", { scope: "col", textContent: text }))),
  );
  const rows = layers.map(({ code, head, title }) => {
    const name = head === undefined ? title : `${heads[head].title}, ${title}`;
    const boxes = panes.map((pane) => {
      const box = element("input", { type: "checkbox", ariaLabel: `${name} in picture ${pane + 1}`, data: { layer: code, pane: String(pane) } });
      box.addEventListener("change", () => onChange({ code, pane, on: box.checked }));
      return box;
    });
    const slider = element("input", { type: "range", min: "0", max: "1", step: "0.05", ariaLabel: `Opacity of ${name}`, data: { opacity: code } });
    slider.addEventListener("input", () => onChange({ code, alpha: Number(slider.value) }));
    const row = element(
      "tr", {}, element("th", { scope: "row", textContent: name }), ...boxes.map((box) => element("td", {}, box)), element("td", {}, slider),
    );
    return { code, boxes, slider, row };
  });
  table.tBodies[0].replaceChildren(...rows.map(({ row }) => row));
  return (view) => {
    for (const { code, boxes, slider } of rows) {
      boxes.forEach((box, pane) => (box.checked = view.sets[pane].includes(code)));
      slider.value = String(view.alphas[code]);
    }
  };
}

// Shares and Dice of each head under the decision. Returns show(values of each head, share where they differ).
function scoreTable(root, { heads }) {
  const table = root.querySelector(".scores");
  table.tHead.replaceChildren(
    element("tr", {}, ...["Score", ...heads.map(({ title }) => title)].map((text, at) => {
      const cell = element("th", { scope: "col", textContent: text });
      if (at) cell.style.setProperty("--head", heads[at - 1].color);
      return cell;
    })),
  );
  const lines = [["dice", "Dice, mean of classes"], ["wrong", "Wrong pixels"], ["several", "Two labels or more"], ["none", "No label"]];
  const rows = lines.map(([key, title]) => {
    const cells = heads.map((_, h) => element("td", { data: { score: key, head: String(h) } }));
    return { key, cells, row: element("tr", {}, element("th", { scope: "row", textContent: title }), ...cells) };
  });
  const differ = element("td", { colSpan: heads.length, data: { score: "differ" } });
  const last = element("tr", {}, element("th", { scope: "row", textContent: "The heads differ" }), differ);
  table.tBodies[0].replaceChildren(...rows.map(({ row }) => row), ...(heads.length > 1 ? [last] : []));
  return (values, share) => {
    for (const { key, cells } of rows)
      cells.forEach((cell, h) => {
        const value = values[h][key];
        cell.textContent = key === "dice" ? (Number.isFinite(value) ? value.toFixed(3) : "–") : percent(value);
      });
    differ.textContent = percent(share);
  };
}
