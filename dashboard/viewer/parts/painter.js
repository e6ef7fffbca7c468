// Layers of one image by their code, each painted once until what it depends on changes.

const PALE = 75; // opacity, of 255, of a number of labels that is the truth's

class Painter {
  constructor(header) {
    this.header = header;
    this.exclusive = header.kind === "exclusive";
    this.hidden = new Set(); // classes left out of the labels
    this.painted = new Map();
    // The least that the surest class of a pixel can have, on exclusive truth; else a coin toss.
    this.low = this.exclusive ? 1 / header.classes.length : 0.5;
  }

  open(sample) {
    this.sample = sample;
    this.grey = greyPicture(sample.picture);
    this.painted.clear();
  }

  // labels: of both heads; compared: codes of `comparison`.
  decided(labels, compared) {
    Object.assign(this, { labels, compared });
    this.forget("abefopvwd");
  }

  // Show a class if it is hidden, and the other way round; returns whether it is shown now.
  turn(c) {
    if (!this.hidden.delete(c)) this.hidden.add(c);
    this.forget("tuab");
    return !this.hidden.has(c);
  }

  forget(codes) {
    for (const code of codes) this.painted.delete(code);
  }

  // alone: whether the picture is all there is to see; under colours it is grey.
  layer(code, alone) {
    if (code === "i") return { source: alone ? this.sample.picture : this.grey };
    if (!this.painted.has(code)) this.painted.set(code, this.make(code));
    return this.painted.get(code);
  }

  make(code) {
    const { sample, exclusive } = this, { colors, codes, heads, edges, scale } = this.header;
    const head = "bfgpw".includes(code) ? 1 : 0;
    switch (code) {
      case "t": case "a": case "b": {
        const labels = code === "t" ? sample.truth : this.labels[head];
        return { source: paintLabels(sample, labels, colors, this.hidden), lines: exclusive ? [] : this.lines(labels, 2) };
      }
      case "u": {
        const lines = this.lines(sample.truth, 1.4);
        const under = lines.map((one) => ({ ...one, color: "#000000", wide: 3.4 }));
        return { lines: [...under, ...(exclusive ? lines.map((one) => ({ ...one, color: "#ffffff" })) : lines)] };
      }
      case "d":
        return { source: paintCodes(sample, this.compared, [...heads.map(({ color }) => color), codes.neither]) };
      case "e": case "f":
        return { source: paintCodes(sample, errors(sample, this.labels[head]), [codes.more, codes.less, codes.both]) };
      case "c": case "g":
        return { source: paintConfidence(sample, head, { middles: middlesOf(edges), exclusive, scale, low: this.low }) };
      default: {
        const [test, color] = "op".includes(code) ? [(count) => count > 1, codes.more] : [(count) => count === 0, codes.less];
        return { source: paintCodes(sample, countedAs(sample, this.labels[head], test), [color, [color, PALE]]) };
      }
    }
  }

  lines(labels, wide) {
    return this.header.colors
      .map((color, c) => ({ color, wide, path: this.hidden.has(c) ? null : borders(this.sample, labels, c) }))
      .filter(({ path }) => path);
  }
}
