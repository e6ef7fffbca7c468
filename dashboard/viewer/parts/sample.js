// A block of bytes from payload.py to one image: its truth, each head's cells of p, and labels under a decision.
// Labels of a pixel are bits of `words` 32-bit words, word by word: labels[w * pixels + i] holds classes 32 w to 32 w + 31.

// Written straight into the decompressor: a Blob would take the bytes through another process and back.
async function inflate(bytes, size) {
  const { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter(), reader = readable.getReader();
  const sent = writer.write(bytes).then(() => writer.close());
  const out = new Uint8Array(size);
  let at = 0;
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    out.set(chunk.value, at);
    at += chunk.value.length;
  }
  await sent;
  return out;
}

// Cells of p are nine tenths of the bytes. What is seen first of exclusive truth seldom needs them, so there they come
// later, from cellsOf(): sample.bringCodes() waits for them and inflates them, until then sample.codes is null.
async function openSample(block, classes, exclusive, cellsOf) {
  const { header, parts } = unpack(block);
  const pixels = header.width * header.height;
  const stride = Math.ceil(pixels / 8);
  const heads = parts.slice(header.soft ? 3 : 2);
  const [picture, bits, soft, ...rest] = await Promise.all([
    createImageBitmap(new Blob([parts[0]], { type: "image/jpeg" })),
    inflate(parts[1], (classes + 1) * stride),
    header.soft ? inflate(parts[2], classes * pixels) : null,
    ...heads.map((part) => inflate(part, (exclusive ? 2 : classes) * pixels)),
  ]);
  // Calls found(i) for each set bit of a plane; most bytes hold none.
  const eachBit = (plane, found) => {
    for (let k = 0, from = plane * stride; k < stride; k++)
      for (let byte = bits[from + k], i = 8 * k; byte; byte = (byte << 1) & 255, i++) if (byte & 128) found(i);
  };
  const words = Math.ceil(classes / 32);
  const truth = new Uint32Array(words * pixels);
  for (let c = 0; c < classes; c++) {
    const place = (c >> 5) * pixels, bit = 1 << (c & 31);
    eachBit(c, (i) => (truth[place + i] |= bit));
  }
  const valid = new Uint8Array(pixels);
  let ignored = pixels;
  eachBit(classes, (i) => ((valid[i] = 1), ignored--));
  const sample = {
    ...header, classes, words, pixels, picture, truth, valid, ignored, soft,
    codes: exclusive ? null : rest,
    largest: exclusive ? rest.map((one) => new Uint16Array(one.buffer)) : null,
  };
  const inflated = async () => Promise.all((await cellsOf()).map((part) => inflate(part, classes * pixels)));
  let coming = null;
  sample.bringCodes = async () => (sample.codes ??= await (coming ??= inflated()));
  return sample;
}

// rule "max": the class of the largest log-odds; otherwise every class whose cell lies above the cut.
function decide(sample, head, { rule, cut }) {
  const { pixels, classes, words } = sample;
  const labels = new Uint32Array(words * pixels);
  if (rule === "max") {
    const largest = sample.largest[head];
    for (let i = 0; i < pixels; i++) labels[(largest[i] >> 5) * pixels + i] = 1 << (largest[i] & 31);
    return labels;
  }
  const codes = sample.codes[head];
  for (let c = 0; c < classes; c++) {
    const from = c * pixels, place = (c >> 5) * pixels, bit = 1 << (c & 31);
    for (let i = 0; i < pixels; i++) if (codes[from + i] > cut) labels[place + i] |= bit;
  }
  return labels;
}

function bitsOf(word) {
  let count = 0;
  for (; word; word &= word - 1) count++;
  return count;
}

// Number of labels of each pixel.
function labelCounts(sample, labels) {
  const counts = new Uint8Array(sample.pixels);
  for (let w = 0; w < sample.words; w++)
    for (let i = 0, from = w * sample.pixels; i < sample.pixels; i++) if (labels[from + i]) counts[i] += bitsOf(labels[from + i]);
  return counts;
}

// 0 the same labels, 1 they differ and only the first head's are right, 2 only the second's, 3 neither's.
function comparison(sample, first, second) {
  const { pixels, words, truth, valid } = sample;
  const out = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    if (!valid[i]) continue;
    let differ = 0, firstWrong = 0, secondWrong = 0;
    for (let w = 0, at = i; w < words; w++, at += pixels) {
      differ |= first[at] ^ second[at];
      firstWrong |= first[at] ^ truth[at];
      secondWrong |= second[at] ^ truth[at];
    }
    if (differ) out[i] = !firstWrong ? 1 : !secondWrong ? 2 : 3;
  }
  return out;
}

// 0 right, 1 a label too many, 2 a label missing, 3 both.
function errors(sample, labels) {
  const { pixels, words, truth, valid } = sample;
  const out = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    if (!valid[i]) continue;
    let more = 0, less = 0;
    for (let w = 0, at = i; w < words; w++, at += pixels) {
      more |= labels[at] & ~truth[at];
      less |= truth[at] & ~labels[at];
    }
    out[i] = (more ? 1 : 0) | (less ? 2 : 0);
  }
  return out;
}

// 1 where test(number of labels) holds though it does not in the truth, 2 where it holds in both.
function countedAs(sample, labels, test) {
  const counts = labelCounts(sample, labels), right = labelCounts(sample, sample.truth);
  return counts.map((count, i) => (test(count) ? (test(right[i]) ? 2 : 1) : 0));
}

// Shares of the valid pixels, and Dice as the mean of the classes that are in the truth or among the labels.
function scores(sample, labels) {
  const { pixels, words, truth, valid, classes } = sample;
  const both = new Float64Array(classes), either = new Float64Array(classes);
  let all = 0, several = 0, none = 0, wrong = 0;
  for (let i = 0; i < pixels; i++) {
    if (!valid[i]) continue;
    all++;
    let count = 0, differ = 0;
    for (let w = 0, at = i; w < words; w++, at += pixels) {
      const called = labels[at], there = truth[at];
      differ |= called ^ there;
      for (let left = called; left; left &= left - 1, count++) either[32 * w + 31 - Math.clz32(left & -left)]++;
      for (let left = there; left; left &= left - 1) {
        const c = 32 * w + 31 - Math.clz32(left & -left);
        either[c]++;
        if (called & left & -left) both[c]++;
      }
    }
    if (count > 1) several++;
    else if (count === 0) none++;
    if (differ) wrong++;
  }
  const dice = [...both].map((value, c) => (2 * value) / either[c]).filter((value) => !Number.isNaN(value));
  return {
    dice: dice.length ? dice.reduce((sum, one) => sum + one, 0) / dice.length : NaN,
    wrong: wrong / all, several: several / all, none: none / all,
  };
}
