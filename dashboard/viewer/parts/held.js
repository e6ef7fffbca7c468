// Probabilities of the image last sent, held for the viewer: components share nothing but the page.

const HELD = (globalThis[Symbol.for("image cells")] ??= { id: null, parts: null, waiting: null });

function holdCells(id, parts) {
  Object.assign(HELD, { id, parts });
  if (HELD.waiting?.id === id) HELD.waiting.found(parts);
}

// Those of one image, when they have come; whoever waits for another one from now on takes the place.
function cellsOf(id) {
  if (HELD.id === id) return Promise.resolve(HELD.parts);
  return new Promise((found) => (HELD.waiting = { id, found }));
}
