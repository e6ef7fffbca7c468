// The viewer: one block of bytes in, three pictures with their controls out. Only the kept pixel and the view go back.

const STACKED = 700; // CSS pixels of width below which everything stands in one column
const BESIDE = 900; // from this width on, the tables stand beside a single picture
const WAIT = 250; // milliseconds of rest before the server hears of a change
const VIEWERS = new WeakMap();

class Viewer {
  constructor(root) {
    this.root = root;
    this.view = null;
    this.panes = [0, 1, 2].map((index) => this.makePane(index));
    root.querySelector(".panes").replaceChildren(...this.panes.map(({ figure }) => figure));
    this.stage = new Stage(this.panes, {
      layersOf: (pane) => this.layersOf(pane),
      onHover: (pixel, aloud) => this.showPixel(pixel, aloud),
      onPin: () => this.report(),
      onMove: (by) => this.send?.("step", by),
      onZoom: (zoom) => (this.part("[data-zoom=reset] output").textContent = `${zoom.toFixed(zoom < 10 ? 1 : 0)}×`),
    });
    this.stage.drawn = () => {
      root.dataset.drawn = root.dataset.image;
      if (!this.stage.sample.codes) setTimeout(() => this.readCodes()); // after the picture has been shown
    };
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(root);
    this.wire();
  }

  part(selector) {
    return this.root.querySelector(selector);
  }

  makePane(index) {
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "img");
    const title = element("span", { className: "title" }), note = element("span", { className: "note" });
    const handle = index === 1 ? element("div", { className: "divider", tabIndex: 0, hidden: true }) : null;
    const frame = element("div", { className: "frame" }, canvas, ...(handle ? [handle] : []));
    const figure = element("figure", { data: { pane: String(index) } }, element("figcaption", {}, title, note), frame);
    return { index, canvas, figure, title, note, handle, frame, hidden: false };
  }

  wire() {
    for (const [name, change] of [["out", (zoom) => zoom / 1.5], ["in", (zoom) => zoom * 1.5]])
      this.part(`[data-zoom=${name}]`).addEventListener("click", () => {
        const shown = this.panes.find(({ hidden }) => !hidden);
        if (this.stage.sample) this.stage.zoomTo(change(this.stage.zoom), shown.canvas);
      });
    this.part("[data-zoom=reset]").addEventListener("click", () => this.stage.reset());
    this.part(".cut input").addEventListener("input", (event) => this.change({ threshold: Number(event.target.value), rule: "threshold" }));
    const { handle, frame } = this.panes[1];
    const divide = (share) => {
      this.stage.divider = Math.min(0.98, Math.max(0.02, share));
      this.placeDivider();
      this.stage.ask();
    };
    handle.setAttribute("role", "slider");
    handle.setAttribute("aria-label", "Divider between the two heads");
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = frame.getBoundingClientRect();
      divide((event.clientX - box.left) / box.width);
    });
    handle.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (by) event.preventDefault(), divide(this.stage.divider + by);
    });
  }

  placeDivider() {
    const { handle } = this.panes[1];
    handle.style.left = `${100 * this.stage.divider}%`;
    handle.setAttribute("aria-valuenow", String(Math.round(100 * this.stage.divider)));
  }

  // What depends on the classes, the heads and the page's colours.
  dress(header) {
    const look = JSON.stringify([header.classes, header.colors, header.heads, header.kind, header.codes]);
    if (look === this.look) return;
    Object.assign(this, { look, exclusive: header.kind === "exclusive" });
    this.painter = new Painter(header);
    const narrow = this.root.clientWidth < STACKED;
    if (!this.view) this.view = readView(header.start.view, defaultView(this.exclusive, narrow), this.exclusive);
    if (!this.exclusive) this.view.rule = "threshold";
    this.presets = PRESETS.filter(({ name }) => name !== "counts" || header.classes.length > 1);
    const fresh = (selector) => {
      const fieldset = this.part(selector);
      fieldset.querySelectorAll("label").forEach((one) => one.remove());
      return fieldset;
    };
    this.alone = header.heads.length === 1;
    this.setPreset = choice(fresh("[data-name=preset]"), this.presets, (name) => this.change({ sets: [...PRESETS.find((one) => one.name === name).sets] }));
    this.setLayout = choice(fresh("[data-name=layout]"), this.alone ? LAYOUTS_ALONE : LAYOUTS, (layout) => this.change({ layout }));
    const rules = [{ name: "max", title: "with the highest p" }, { name: "threshold", title: "above a threshold" }];
    this.setRule = choice(fresh("[data-name=rule]"), rules, (rule) => this.change({ rule }));
    this.part("[data-name=rule]").hidden = !this.exclusive;
    this.part(".cut span").firstChild.textContent = this.exclusive ? "when p is above " : "Called present when p is above ";
    const tabs = this.panes.slice(0, this.alone ? 2 : 3).map(({ index }) => {
      const tab = element("button", { type: "button" });
      tab.addEventListener("click", () => this.change({ pane: index }));
      return tab;
    });
    this.tabs = tabs;
    this.part(".tabs").replaceChildren(...tabs);
    this.showRow = pixelTable(this.root, header);
    this.showScores = scoreTable(this.root, header);
    this.showLayers = layerTable(this.root, header, (what) => this.changeLayer(what));
  }

  async open(bytes) {
    const { header, parts } = unpack(bytes);
    if (header.id === this.id) return;
    this.id = header.id;
    const sample = await openSample(parts[0], header.classes.length, header.kind === "exclusive", () => cellsOf(header.id));
    if (header.id !== this.id) return; // another image was asked for meanwhile
    const first = !this.header, other = header.image !== this.root.dataset.image;
    if (first) this.dress(header);
    if (this.needsCodes(header.kind)) await sample.bringCodes();
    if (header.id !== this.id) return;
    this.header = header;
    this.dress(header);
    this.painter.open(sample);
    this.root.dataset.image = header.image;
    this.announce(header.image);
    this.stage.open(sample);
    if (other) Object.assign(this.stage, { cursor: null, pinned: false });
    this.decideAgain();
    this.refresh();
    if (first && header.start.pixel) this.stage.pin(header.start.pixel.map((one) => Math.floor(one / sample.step)), { quiet: true });
    else this.showPixel(this.stage.cursor);
  }

  // Whether what is shown depends on more than the truth and the largest p.
  needsCodes(kind) {
    return kind !== "exclusive" || this.view.rule !== "max" || this.view.sets.some((set) => /[cg]/.test(set));
  }

  // Probabilities that were not needed so far, for the pixel under the cursor and for what is chosen next.
  async readCodes() {
    const { sample } = this.stage;
    if (!sample || sample.codes) return;
    await sample.bringCodes();
    if (sample === this.stage.sample) this.showPixel(this.stage.cursor);
  }

  // The gallery marks the image that is shown, without being sent anew for each.
  announce(image) {
    const host = this.root.getRootNode().host;
    if (host) host.dataset.shown = image;
    document.dispatchEvent(new CustomEvent("image-viewer-shows", { detail: image }));
  }

  get decision() {
    const { rule, threshold } = this.view, { edges } = this.header;
    const near = edges.reduce((best, edge, k) => (Math.abs(edge - threshold) < Math.abs(edges[best] - threshold) ? k : best), 0);
    return { rule, cut: near };
  }

  decideAgain() {
    const sample = this.stage.sample;
    this.labels = this.header.heads.map((_, head) => decide(sample, head, this.decision));
    this.compared = this.alone ? new Uint8Array(sample.pixels) : comparison(sample, ...this.labels);
    const valid = sample.pixels - sample.ignored;
    const differ = this.compared.reduce((sum, code) => sum + (code > 0), 0);
    this.values = this.labels.map((labels) => scores(sample, labels));
    this.showScores(this.values, differ / valid);
    this.painter.decided(this.labels, this.compared);
    this.showPixel(this.stage.cursor);
  }

  async change(what) {
    const before = JSON.stringify([this.view.rule, this.view.threshold]);
    Object.assign(this.view, what);
    this.report();
    if (this.needsCodes(this.header?.kind)) await this.readCodes();
    if (!this.stage.sample) return;
    if (before !== JSON.stringify([this.view.rule, this.view.threshold])) this.decideAgain();
    this.refresh();
  }

  async changeLayer({ code, pane, on, alpha }) {
    if (alpha !== undefined) this.view.alphas[code] = alpha;
    else this.view.sets[pane] = ordered(on ? this.view.sets[pane] + code : this.view.sets[pane].replace(code, ""));
    this.report();
    if (this.needsCodes(this.header?.kind)) await this.readCodes();
    this.refresh();
  }

  get shown() {
    return shownView(this.view, this.alone);
  }

  refresh() {
    const { header } = this, view = this.shown;
    this.setPreset(presetOf(view.sets, this.alone));
    this.setLayout(view.layout);
    this.setRule(view.rule);
    this.part(".cut").hidden = this.exclusive && view.rule === "max";
    this.part(".cut input").value = String(view.threshold);
    this.part(".cut output").textContent = view.threshold.toFixed(2);
    this.part(".tabs").hidden = view.layout !== "one";
    this.tabs.forEach((tab, index) => {
      tab.textContent = this.titleOf(index);
      tab.setAttribute("aria-pressed", String(index === view.pane));
    });
    for (const pane of this.panes) {
      const { index, figure, handle } = pane;
      pane.hidden = (this.alone && index === 2) || { three: false, two: index === 0, swipe: index !== 1, one: index !== view.pane }[view.layout];
      figure.hidden = pane.hidden;
      const both = view.layout === "swipe";
      pane.title.textContent = both ? `${this.titleOf(1)} on the left, ${this.titleOf(2)} on the right` : this.titleOf(index);
      const own = index && !both && header.heads[index - 1];
      pane.title.style.setProperty("--head", own ? own.color : "transparent");
      pane.note.textContent = own ? `Dice ${Number.isFinite(this.values[index - 1].dice) ? this.values[index - 1].dice.toFixed(3) : "–"}` : "";
      if (handle) handle.hidden = !both;
      pane.canvas.setAttribute("aria-label", `${header.image}: ${pane.title.textContent}. Arrow keys move from pixel to pixel, Enter keeps one, plus and minus zoom.`);
    }
    this.placeDivider();
    this.showLayers(view);
    this.showLegend();
    this.root.dataset.view = writeView(this.view);
    this.resize();
  }

  titleOf(index) {
    const set = this.shown.sets[index], { heads } = this.header;
    const has = (codes) => [...codes].some((code) => set.includes(code));
    const found = heads.filter((_, h) => has(h ? "bfgpw" : "aecov")).map(({ title }) => title);
    if (found.length) return found.join(" and ");
    if (has("d")) return "Where the heads differ";
    return has("tu") ? "Truth" : has("i") ? "Image" : "Nothing chosen";
  }

  layersOf({ index }) {
    const { layout, sets, alphas } = this.shown;
    const there = (code) => this.stage.sample.codes || !"cg".includes(code); // these wait for the probabilities
    return (layout === "swipe" ? [sets[1], sets[2]] : [sets[index]]).map((set) =>
      [...ordered(set)].filter(there).map((code) => ({ alpha: alphas[code], photo: code === "i", ...this.painter.layer(code, set === "i") })),
    );
  }

  showLegend() {
    const { header, painter } = this, view = this.shown;
    const shown = view.layout === "swipe" ? [1, 2] : this.panes.filter(({ hidden }) => !hidden).map(({ index }) => index);
    const on = (codes) => shown.some((index) => [...codes].some((code) => view.sets[index].includes(code)));
    const turn = (c) => {
      this.stage.ask();
      return painter.turn(c);
    };
    this.part(".legend").replaceChildren(...legendParts({ header, painter, rule: view.rule, on, turn }));
  }

  showPixel(pixel, aloud = false) {
    const { sample, pinned } = this.stage;
    if (!sample || !this.labels) return;
    const cut = this.view.rule === "max" ? null : this.view.threshold;
    const said = this.showRow(sample, pixel, this.labels, { pinned, cut });
    this.part(".pixel .hint").textContent = pixel ? (pinned ? "Kept. Click it again, or press Escape, to let it go." : "Click, or press Enter, to keep this pixel.") : "";
    if (aloud) this.part(".said").textContent = said;
    this.root.dataset.pixel = pixel ? pixel.map((one) => one * sample.step).join(",") : "";
  }

  resize() {
    const { sample } = this.stage, width = this.root.clientWidth;
    if (!sample || !width) return;
    const single = "swipe one".includes(this.shown.layout);
    this.root.classList.toggle("stacked", width < STACKED);
    this.root.classList.toggle("beside", single && width >= BESIDE);
    const shown = this.panes.filter(({ hidden }) => !hidden);
    const columns = width < STACKED ? 1 : shown.length;
    this.part(".panes").style.setProperty("--columns", String(columns));
    const room = (this.part(".panes").clientWidth - 12 * (columns - 1)) / columns;
    const most = Math.max(240, Math.min(0.62 * innerHeight, 680));
    const height = Math.round(Math.min(most, (room * sample.height) / sample.width));
    for (const { canvas } of shown) {
      const size = [Math.round(room * devicePixelRatio), Math.round(height * devicePixelRatio)];
      canvas.style.height = `${height}px`;
      if (canvas.width !== size[0] || canvas.height !== size[1]) Object.assign(canvas, { width: size[0], height: size[1] });
    }
    this.stage.ask();
  }

  report() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      const { sample, pinned, cursor } = this.stage;
      const pixel = pinned && sample ? cursor.map((one) => one * sample.step) : null;
      this.keep?.("view", { image: this.header.image, view: writeView(this.view), pixel });
    }, WAIT);
  }

  close() {
    clearTimeout(this.waiting);
    this.sizes.disconnect();
  }
}

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".viewer");
  let viewer = VIEWERS.get(root);
  if (!viewer) VIEWERS.set(root, (viewer = new Viewer(root)));
  viewer.keep = setStateValue;
  viewer.send = setTriggerValue;
  viewer.open(data).catch((error) => {
    viewer.id = null;
    viewer.part(".pixel .where").textContent = `This image cannot be shown (${error.message}); reload the page.`;
  });
  return () => viewer.close();
}
