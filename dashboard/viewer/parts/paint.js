// Layers of one image to canvases of one pixel a pixel, and borders of labels to paths.

const MOST_BORDERS = 60000; // stretches of border; speckled labels with more are filled only

function rgba(color, alpha = 255) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function canvasFrom(sample, fill) {
  const canvas = canvasOf(sample.width, sample.height);
  const data = new ImageData(sample.width, sample.height);
  fill(new Uint32Array(data.data.buffer));
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}

function greyPicture(picture) {
  const canvas = canvasOf(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const data = context.getImageData(0, 0, picture.width, picture.height), one = data.data;
  for (let at = 0; at < one.length; at += 4)
    one[at] = one[at + 1] = one[at + 2] = 0.299 * one[at] + 0.587 * one[at + 1] + 0.114 * one[at + 2];
  context.putImageData(data, 0, 0);
  return canvas;
}

// The mean of the colours of a pixel's labels; hidden: a Set of classes that are left out.
function paintLabels(sample, labels, colors, hidden) {
  const channels = colors.map((color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
  const { pixels, words, valid } = sample;
  const shade = (i) => {
    let r = 0, g = 0, b = 0, count = 0;
    for (let w = 0, at = i; w < words; w++, at += pixels)
      for (let left = labels[at]; left; left &= left - 1) {
        const c = 32 * w + 31 - Math.clz32(left & -left);
        if (hidden.has(c)) continue;
        (r += channels[c][0]), (g += channels[c][1]), (b += channels[c][2]), count++;
      }
    return count ? ((255 << 24) | (Math.round(b / count) << 16) | (Math.round(g / count) << 8) | Math.round(r / count)) >>> 0 : 0;
  };
  return canvasFrom(sample, (out) => {
    let last = -1; // neighbours mostly have the same labels: their colour is worked out once
    const same = (i) => {
      for (let w = 0; w < words; w++) if (labels[w * pixels + i] !== labels[w * pixels + last]) return false;
      return true;
    };
    for (let i = 0; i < pixels; i++) {
      if (!valid[i]) continue;
      out[i] = last >= 0 && same(i) ? out[last] : shade(i);
      last = i;
    }
  });
}

// colors: of codes 1, 2, …, each "#rrggbb" or ["#rrggbb", 0 to 255]; code 0 stays clear.
function paintCodes(sample, codes, colors) {
  const palette = [0, ...colors.map((color) => rgba(...[color].flat()))];
  return canvasFrom(sample, (out) => {
    for (let i = 0; i < sample.pixels; i++) if (sample.valid[i]) out[i] = palette[codes[i]];
  });
}

function paintWhere(sample, test, color) {
  const paint = rgba(color);
  return canvasFrom(sample, (out) => {
    for (let i = 0; i < sample.pixels; i++) if (sample.valid[i] && test(i)) out[i] = paint;
  });
}

// How sure a head is: the largest p of a pixel on exclusive truth, otherwise max(p, 1 - p) of the least certain class.
function paintConfidence(sample, head, { middles, exclusive, scale, low }) {
  const { pixels, classes, valid } = sample, codes = sample.codes[head];
  const sure = exclusive ? Float32Array.from(middles) : Float32Array.from(middles, (p) => Math.max(p, 1 - p));
  const best = new Float32Array(pixels).fill(exclusive ? 0 : 1);
  for (let c = 0; c < classes; c++)
    for (let i = 0, from = c * pixels; i < pixels; i++) {
      const value = sure[codes[from + i]];
      if (exclusive ? value > best[i] : value < best[i]) best[i] = value;
    }
  const steps = new Uint32Array(256);
  for (let k = 0; k < 256; k++) {
    const place = (k / 255) * (scale.length - 1), left = Math.min(Math.floor(place), scale.length - 2), share = place - left;
    const [r, g, b] = [0, 1, 2].map((at) => Math.round((1 - share) * scale[left][at] + share * scale[left + 1][at]));
    steps[k] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  return canvasFrom(sample, (out) => {
    for (let i = 0; i < pixels; i++)
      if (valid[i]) out[i] = steps[Math.round(255 * Math.min(1, Math.max(0, (best[i] - low) / (1 - low))))];
  });
}

// Borders of one class between neighbouring pixels, straight stretches joined; the rim of the image is no border.
function borders(sample, labels, c) {
  const { width, height, pixels, valid } = sample;
  const from = (c >> 5) * pixels, bit = 1 << (c & 31);
  const inside = (i) => (labels[from + i] & bit) !== 0 && valid[i] === 1;
  const path = new Path2D();
  let count = 0;
  const walk = (outer, inner, index, back, line) => {
    for (let o = 1; o < outer; o++) {
      let start = -1;
      for (let n = 0; n <= inner; n++) {
        const edge = n < inner && inside(index(o, n)) !== inside(index(o, n) - back);
        if (edge && start < 0) start = n;
        if (!edge && start >= 0) {
          line(o, start, n);
          start = -1;
          if (++count > MOST_BORDERS) return;
        }
      }
    }
  };
  walk(height, width, (y, x) => y * width + x, width, (y, a, b) => (path.moveTo(a, y), path.lineTo(b, y)));
  walk(width, height, (x, y) => y * width + x, 1, (x, a, b) => (path.moveTo(x, a), path.lineTo(x, b)));
  return count > MOST_BORDERS ? null : path;
}
