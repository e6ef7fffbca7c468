// What is shown: three sets of layers, how they are laid out, the decision; to and from the text that stands in the link.

const LAYERS = [
  { code: "i", title: "Image", alpha: 1 },
  { code: "t", title: "Truth", alpha: 0.6 },
  { code: "u", title: "Truth, outline", alpha: 1 },
  { code: "a", head: 0, title: "labels", alpha: 0.6 },
  { code: "e", head: 0, title: "errors", alpha: 0.9 },
  { code: "c", head: 0, title: "confidence", alpha: 1 },
  { code: "o", head: 0, title: "two labels or more", alpha: 0.9 },
  { code: "v", head: 0, title: "no label", alpha: 0.9 },
  { code: "b", head: 1, title: "labels", alpha: 0.6 },
  { code: "f", head: 1, title: "errors", alpha: 0.9 },
  { code: "g", head: 1, title: "confidence", alpha: 1 },
  { code: "p", head: 1, title: "two labels or more", alpha: 0.9 },
  { code: "w", head: 1, title: "no label", alpha: 0.9 },
  { code: "d", title: "Where the heads differ", alpha: 0.9 },
];
const OF_TWO = "bfgpwd"; // layers that take a second head
const ORDER = "icgtabdefopvwu"; // bottom to top
const PRESETS = [
  { name: "labels", title: "Labels", sets: ["it", "ia", "ib"] },
  { name: "errors", title: "Errors", sets: ["id", "ie", "if"] },
  { name: "confidence", title: "Confidence", sets: ["it", "c", "g"] },
  { name: "counts", title: "Two labels or none", sets: ["it", "iov", "ipw"] },
];
const LAYOUTS = [
  { name: "three", title: "All three" },
  { name: "two", title: "Two heads" },
  { name: "swipe", title: "Swipe" },
  { name: "one", title: "One" },
];

// Of a head alone the first two panes with what they hold of it, whatever the link or another run asked for.
function shownView(view, alone) {
  if (!alone) return view;
  const sets = view.sets.map((set, at) => (at < 2 ? [...set].filter((code) => !OF_TWO.includes(code)).join("") : ""));
  return { ...view, sets, layout: view.layout === "one" ? "one" : "three", pane: Math.min(view.pane, 1) };
}

function presetOf(sets, alone) {
  const same = (one) => shownView(one, alone).sets.every((set, at) => set === sets[at]);
  return PRESETS.find(same)?.name ?? null;
}

const LAYOUTS_ALONE = [
  { name: "three", title: "Both" },
  { name: "one", title: "One" },
];

function defaultView(exclusive, narrow) {
  const alphas = Object.fromEntries(LAYERS.map(({ code, alpha }) => [code, alpha]));
  return { layout: narrow ? "one" : "three", pane: 1, sets: [...PRESETS[0].sets], rule: exclusive ? "max" : "threshold", threshold: 0.5, alphas };
}

// layout and pane, layers of each pane, decision, changed opacities: "three.it-ia-ib.t50.a80".
function writeView(view) {
  const sets = view.sets.map((set) => set || "0").join("-");
  const decision = `${view.rule === "max" ? "m" : "t"}${Math.round(view.threshold * 100)}`;
  const alphas = LAYERS.filter(({ code, alpha }) => view.alphas[code] !== alpha).map(({ code }) => `${code}${Math.round(view.alphas[code] * 100)}`);
  return [view.layout === "one" ? `one${view.pane + 1}` : view.layout, sets, decision, ...(alphas.length ? [alphas.join("")] : [])].join(".");
}

// Anything that is not understood stays as it is in `view`.
function readView(text, view, exclusive) {
  const [layout = "", sets = "", decision = "", alphas = ""] = String(text).split(".");
  const one = /^one([123])$/.exec(layout);
  if (one) Object.assign(view, { layout: "one", pane: Number(one[1]) - 1 });
  else if (LAYOUTS.some(({ name }) => name === layout && name !== "one")) view.layout = layout;
  const found = sets.split("-").map((set) => ordered(set));
  if (found.length === 3) view.sets = found;
  const cut = /^([mt])(\d{1,2})$/.exec(decision);
  if (cut) {
    view.rule = cut[1] === "m" && exclusive ? "max" : "threshold";
    view.threshold = Math.min(0.98, Math.max(0.02, Math.round(Number(cut[2]) / 2) / 50));
  }
  for (const [, code, percent] of alphas.matchAll(/([a-z])(\d{1,3})/g))
    if (code in view.alphas) view.alphas[code] = Math.min(1, Number(percent) / 100);
  return view;
}

// Layer codes of a set, each once, bottom first.
function ordered(set) {
  return [...ORDER].filter((code) => set.includes(code)).join("");
}
