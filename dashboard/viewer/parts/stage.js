// Panes that show the same part of one image: zoom, pan, a cursor pixel, and the drawing of their layers.

const CLOSEST = 48; // CSS pixels of an image pixel at the closest zoom
const SLACK = 4; // CSS pixels a pointer may move between down and up and still have clicked
const HATCH = 7; // CSS pixels between the stripes over ignored pixels

class Stage {
  // panes: [{ canvas }]; draw(pane): layers of it, bottom first, as { source, alpha, path, color, smooth }.
  constructor(panes, { layersOf, onHover, onPin, onMove, onZoom }) {
    Object.assign(this, { panes, layersOf, onHover, onPin, onMove, onZoom });
    this.zoom = 1;
    this.center = [0.5, 0.5];
    this.cursor = null;
    this.pinned = false;
    this.divider = 0.5;
    this.sample = null;
    this.pointers = new Map();
    for (const pane of panes) this.listen(pane);
  }

  open(sample) {
    const same = this.sample && this.sample.width === sample.width && this.sample.height === sample.height;
    this.sample = sample;
    this.mask = sample.ignored ? paintWhere({ ...sample, valid: new Uint8Array(sample.pixels).fill(1) }, (i) => !sample.valid[i], "#000000") : null;
    if (!same) this.reset();
  }

  reset() {
    this.zoom = 1;
    this.center = [0.5, 0.5];
    this.changed();
  }

  changed() {
    this.onZoom(this.zoom);
    this.ask();
  }

  ask() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  // Scale (device pixels of an image pixel) and the corner of the image on a canvas.
  place(canvas) {
    const { width, height } = this.sample;
    const fit = Math.min(canvas.width / width, canvas.height / height);
    const scale = fit * this.zoom;
    const edge = (room, size, center) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, room / 2 - center * size)));
    return { scale, fit, left: edge(canvas.width, width * scale, this.center[0]), top: edge(canvas.height, height * scale, this.center[1]) };
  }

  // Image coordinates of a pointer event, in pixels of what was sent.
  at(canvas, event) {
    const box = canvas.getBoundingClientRect();
    const { scale, left, top } = this.place(canvas);
    const ratio = canvas.width / box.width;
    return [((event.clientX - box.left) * ratio - left) / scale, ((event.clientY - box.top) * ratio - top) / scale];
  }

  zoomTo(zoom, canvas, event) {
    const { fit } = this.place(canvas);
    const most = Math.max(1, (CLOSEST * devicePixelRatio) / fit);
    const next = Math.min(most, Math.max(1, zoom));
    if (next === this.zoom) return false;
    const [x, y] = event ? this.at(canvas, event) : this.focus();
    const before = this.place(canvas);
    this.zoom = next;
    const scale = fit * next;
    // The point under the pointer stays where it is.
    const keep = (point, start, room, size) => (room / 2 - (start + point * before.scale) + point * scale) / (size * scale);
    this.center = event
      ? [keep(x, before.left, canvas.width, this.sample.width), keep(y, before.top, canvas.height, this.sample.height)]
      : [x / this.sample.width, y / this.sample.height];
    this.settle(canvas);
    this.changed();
    return true;
  }

  focus() {
    if (this.cursor) return [this.cursor[0] + 0.5, this.cursor[1] + 0.5];
    return [this.center[0] * this.sample.width, this.center[1] * this.sample.height];
  }

  pan(canvas, dx, dy) {
    const { scale } = this.place(canvas), ratio = canvas.width / canvas.getBoundingClientRect().width;
    this.center[0] -= (dx * ratio) / scale / this.sample.width;
    this.center[1] -= (dy * ratio) / scale / this.sample.height;
    this.settle(canvas);
    this.ask();
  }

  // Center that gives the place as drawn, so that a pan against an edge is not saved up.
  settle(canvas) {
    const { scale, left, top } = this.place(canvas), { width, height } = this.sample;
    this.center = [(canvas.width / 2 - left) / scale / width, (canvas.height / 2 - top) / scale / height];
  }

  pixelAt(canvas, event) {
    const [x, y] = this.at(canvas, event).map(Math.floor);
    return x >= 0 && y >= 0 && x < this.sample.width && y < this.sample.height ? [x, y] : null;
  }

  listen({ canvas }) {
    canvas.addEventListener("pointerdown", (event) => this.down(canvas, event));
    canvas.addEventListener("pointermove", (event) => this.move(canvas, event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.up(canvas, event));
    canvas.addEventListener("pointerleave", () => !this.pinned && this.pointers.size === 0 && this.hover(null));
    canvas.addEventListener("keydown", (event) => this.key(canvas, event));
    canvas.addEventListener("dblclick", (event) => this.sample && this.zoomTo(this.zoom * 2, canvas, event));
    const wheel = (event) => {
      if (!this.sample) return;
      const used = this.zoomTo(this.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0022)), canvas, event);
      if (used || this.zoom > 1) event.preventDefault(); // at the whole image, scrolling down scrolls the page
    };
    canvas.addEventListener("wheel", wheel, { passive: false });
  }

  hover(pixel) {
    this.cursor = pixel;
    this.onHover(pixel);
    this.ask();
  }

  down(canvas, event) {
    if (!this.sample) return;
    if (event.pointerType !== "touch" || this.zoom > 1) canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.travelled = this.pointers.size > 1 ? Infinity : 0;
    this.spread = this.gap();
  }

  gap() {
    const [a, b] = this.pointers.values();
    return b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  }

  move(canvas, event) {
    if (!this.sample) return;
    const last = this.pointers.get(event.pointerId);
    if (!last) {
      if (!this.pinned) this.hover(this.pixelAt(canvas, event));
      return;
    }
    const dx = event.clientX - last.x, dy = event.clientY - last.y;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.travelled += Math.hypot(dx, dy);
    if (this.pointers.size === 2) {
      const [a, b] = this.pointers.values(), gap = this.gap();
      this.zoomTo((this.zoom * gap) / (this.spread || gap), canvas, { clientX: (a.x + b.x) / 2, clientY: (a.y + b.y) / 2 });
      this.spread = gap;
    }
    if (this.zoom > 1) this.pan(canvas, dx / this.pointers.size, dy / this.pointers.size);
  }

  up(canvas, event) {
    if (!this.pointers.delete(event.pointerId) || event.type === "pointercancel") return;
    if (this.travelled > SLACK || !this.sample) return;
    const pixel = this.pixelAt(canvas, event);
    if (!pixel) return;
    const again = this.pinned && this.cursor && pixel[0] === this.cursor[0] && pixel[1] === this.cursor[1];
    this.pin(again ? null : pixel);
  }

  pin(pixel, { quiet = false } = {}) {
    this.pinned = pixel !== null;
    if (pixel) this.cursor = pixel;
    this.onHover(this.cursor);
    if (!quiet) this.onPin(pixel);
    this.ask();
  }

  key(canvas, event) {
    if (!this.sample || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      const { width, height } = this.sample;
      const [x, y] = this.cursor ?? [Math.floor(this.center[0] * width), Math.floor(this.center[1] * height)];
      const [dx, dy] = this.cursor ? moves[event.key] : [0, 0];
      this.cursor = [Math.min(width - 1, Math.max(0, x + dx)), Math.min(height - 1, Math.max(0, y + dy))];
      this.keepInSight(canvas);
      this.onHover(this.cursor, true);
      if (this.pinned) this.onPin(this.cursor);
    } else if (event.key === "+" || event.key === "=") this.zoomTo(this.zoom * 1.5, canvas);
    else if (event.key === "-") this.zoomTo(this.zoom / 1.5, canvas);
    else if (event.key === "0") this.reset();
    else if ((event.key === "Enter" || event.key === " ") && this.cursor) this.pin(this.pinned ? null : this.cursor);
    else if (event.key === "Escape") this.pin(null);
    else if (event.key === "PageDown" || event.key === "PageUp") this.onMove(event.key === "PageDown" ? 1 : -1);
    else return;
    event.preventDefault();
    this.ask();
  }

  keepInSight(canvas) {
    const { scale, left, top } = this.place(canvas), [x, y] = this.cursor;
    const seen = (start, point, room) => start + point * scale >= 0 && start + (point + 1) * scale <= room;
    if (!seen(left, x, canvas.width) || !seen(top, y, canvas.height)) {
      this.center = [(x + 0.5) / this.sample.width, (y + 0.5) / this.sample.height];
      this.settle(canvas);
    }
  }

  draw() {
    if (!this.sample) return;
    for (const pane of this.panes) {
      if (pane.hidden) continue;
      const { canvas } = pane;
      canvas.style.touchAction = this.zoom > 1 ? "none" : "pan-y";
      const context = canvas.getContext("2d");
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      const parts = this.layersOf(pane);
      parts.forEach((layers, index) => {
        context.save();
        if (parts.length === 2) {
          const cut = Math.round(this.divider * canvas.width);
          context.beginPath();
          context.rect(index ? cut : 0, 0, index ? canvas.width - cut : cut, canvas.height);
          context.clip();
        }
        this.compose(context, canvas, layers);
        context.restore();
      });
      if (this.cursor) this.mark(context, canvas);
    }
    this.drawn?.();
  }

  compose(context, canvas, layers) {
    const { width, height } = this.sample, { scale, left, top } = this.place(canvas);
    const box = [left, top, width * scale, height * scale];
    for (const { source, alpha, photo } of layers) {
      if (!source) continue;
      context.globalAlpha = alpha;
      context.imageSmoothingEnabled = photo ? scale < 4 * devicePixelRatio : scale < 1;
      context.imageSmoothingQuality = "high";
      context.drawImage(source, ...box);
    }
    context.globalAlpha = 1;
    if (this.mask) this.hatch(context, canvas, box);
    context.setTransform(scale, 0, 0, scale, left, top);
    for (const { lines = [], alpha } of layers)
      for (const { path, color, wide } of lines) {
        if (!path) continue;
        context.globalAlpha = Math.min(1, alpha + 0.4);
        context.lineWidth = (wide * devicePixelRatio) / scale;
        context.strokeStyle = color;
        context.stroke(path);
      }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
  }

  // Stripes of the screen's size, whatever the zoom, over the ignored pixels.
  hatch(context, canvas, box) {
    this.stripes ??= canvasOf(1, 1);
    Object.assign(this.stripes, { width: canvas.width, height: canvas.height });
    const over = this.stripes.getContext("2d"), gap = HATCH * devicePixelRatio;
    over.imageSmoothingEnabled = false;
    over.drawImage(this.mask, ...box);
    over.globalCompositeOperation = "source-in";
    over.fillStyle = "rgba(120,120,120,.75)";
    over.fillRect(0, 0, canvas.width, canvas.height);
    over.globalCompositeOperation = "source-atop";
    over.strokeStyle = "rgba(235,235,235,.9)";
    over.lineWidth = gap / 3;
    over.beginPath();
    for (let at = -canvas.height; at < canvas.width; at += gap) {
      over.moveTo(at, 0);
      over.lineTo(at + canvas.height, canvas.height);
    }
    over.stroke();
    context.drawImage(this.stripes, 0, 0);
  }

  mark(context, canvas) {
    const { scale, left, top } = this.place(canvas), ratio = devicePixelRatio;
    const size = Math.max(scale, 7 * ratio), away = (size - scale) / 2;
    const box = [left + this.cursor[0] * scale - away, top + this.cursor[1] * scale - away, size, size];
    for (const [color, wide] of [["#000000", 4], ["#ffffff", this.pinned ? 2.4 : 1.6]]) {
      context.strokeStyle = color;
      context.lineWidth = wide * ratio;
      context.strokeRect(...box);
    }
  }
}
