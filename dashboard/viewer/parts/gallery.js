// The gallery: thumbnails with their numbers as buttons; asks for the pictures that are still to come.

const GALLERIES = new WeakMap();

function element(tag, className, text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

function makeItem(one, open) {
  const button = Object.assign(element("button", ""), { type: "button" });
  const frame = element("div", "wait");
  const lines = one.lines.map(([color, text]) => {
    const line = element("span", "line");
    if (color) {
      const dot = element("b", "");
      dot.style.setProperty("--dot", color);
      line.append(dot);
    }
    line.append(text);
    return line;
  });
  button.append(frame, element("span", "name", one.name), ...lines);
  button.title = one.name;
  button.dataset.name = one.name;
  button.addEventListener("click", () => open(one.name));
  const item = document.createElement("li");
  item.append(button);
  return { item, button, frame, image: null };
}

function showPicture(made, bytes, name, alt) {
  if (made.image || !bytes.length) return;
  made.image = Object.assign(new Image(), { alt: `${name}, ${alt}`, src: URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })) });
  made.image.addEventListener("load", () => URL.revokeObjectURL(made.image.src), { once: true });
  made.frame.replaceWith(made.image);
}

function mark(root, shown) {
  for (const button of root.querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.name === shown));
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".gallery"), list = root.querySelector("ul");
  const { header, parts } = unpack(data);
  let kept = GALLERIES.get(root);
  const open = (name) => {
    kept.send("open", name);
    const viewer = document.querySelector(`.st-key-${header.viewer}`);
    if (!viewer) return;
    viewer.style.scrollMarginTop = "4rem"; // the page's header lies over its top
    viewer.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "start" });
  };
  if (kept?.id !== header.id) {
    kept = { id: header.id, items: header.items.map((one) => makeItem(one, open)) };
    GALLERIES.set(root, kept);
    root.style.setProperty("--ratio", String(header.ratio));
    list.replaceChildren(...kept.items.map(({ item }) => item));
  }
  kept.send = setTriggerValue;
  header.items.forEach((one, at) => showPicture(kept.items[at], parts[at], one.name, header.alt));
  mark(root, document.querySelector(`.st-key-${header.viewer} [data-shown]`)?.dataset.shown);
  root.follow ??= ({ detail }) => mark(root, detail);
  document.addEventListener("image-viewer-shows", root.follow); // adding it once more changes nothing
  const missing = parts.filter((part) => part.length === 0).length;
  root.dataset.page = header.id;
  root.dataset.missing = String(missing);
  if (missing) setTriggerValue("more", missing);
  return () => document.removeEventListener("image-viewer-shows", root.follow);
}
