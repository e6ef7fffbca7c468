// The upload widget: choose or drop, see it go, cancel, see what came of it. All text from files goes in as text.

const SENDING = (window.uploadsUnderWay ??= new Map()); // by the widget's key: a transfer outlives the page that began it

function node(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

function button(text, onClick, className = "") {
  const made = node("button", className, text);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

class Widget {
  constructor(root) {
    this.root = root;
    this.input = Object.assign(document.createElement("input"), { type: "file" });
    this.input.addEventListener("change", () => this.take(this.input.files));
    this.choose = node("label", "choose", this.input, node("span", "", "Choose a file"));
    this.title = node("div", "title");
    this.line = node("div", "line");
    this.line.setAttribute("role", "status");
    this.error = node("div", "error");
    this.error.setAttribute("role", "alert");
    this.bar = node("div", "bar", node("i", ""));
    this.bar.setAttribute("role", "progressbar");
    this.bar.setAttribute("aria-valuemin", "0");
    this.bar.setAttribute("aria-valuemax", "100");
    this.actions = node("div", "actions");
    this.text = node("div", "text", this.title, this.line, this.bar, this.error);
    root.replaceChildren(this.text, this.actions);
    this.listen();
  }

  listen() {
    const { root } = this;
    const over = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // else the browser opens the file
      root.classList.toggle("over", event.type === "dragover" && !this.transfer());
      if (event.type === "drop" && !this.transfer()) this.take(event.dataTransfer.files);
    };
    root.addEventListener("dragover", over);
    root.addEventListener("drop", over);
    root.addEventListener("dragleave", () => root.classList.remove("over"));
  }

  transfer() {
    return SENDING.get(this.data.key);
  }

  take(files) {
    this.problem = "";
    const [file] = files, { kinds, kinds_text, limit, limit_text } = this.data;
    if (!file) return;
    if (files.length > 1) this.problem = "One file at a time: pack several into one zip.";
    else if (!kinds.some((kind) => file.name.toLowerCase().endsWith(kind))) this.problem = `${file.name} is none of these: ${kinds_text}. A folder can be packed into a zip.`;
    else if (file.size > limit) this.problem = `${file.name} has ${sizeText(file.size)}, at most ${limit_text} are allowed. Split it, or put it on the server's disk.`;
    else if (!file.size) this.problem = `${file.name} is empty or a folder. A folder can be packed into a zip.`;
    else {
      SENDING.set(this.data.key, new Transfer(file, this.data));
      this.follow();
    }
    this.input.value = ""; // so that the same file can be chosen again
    this.draw();
    this.root.querySelector("button, input")?.focus();
  }

  // Draw what becomes of the transfer; at its end tell the server's page which upload it was.
  follow() {
    const transfer = this.transfer();
    if (!transfer) return;
    transfer.settings = this.data; // a newer token
    transfer.tell = () => {
      if (["ready", "refused"].includes(transfer.state)) this.end(transfer.id);
      else if (["failed", "cancelled"].includes(transfer.state)) {
        this.problem = transfer.message;
        this.end(null);
      } else this.draw();
    };
    transfer.tell();
  }

  end(id) {
    SENDING.delete(this.data.key);
    this.awaited = id;
    this.draw();
    this.report(id);
  }

  draw() {
    const transfer = this.transfer(), { upload, label, help, kinds, kinds_text, limit_text } = this.data;
    const idle = !transfer && !this.awaited && !upload;
    this.root.dataset.state = transfer ? transfer.state : this.awaited ? "waiting" : (upload?.state ?? "idle");
    this.error.textContent = this.problem || (!transfer && upload?.state === "refused" ? upload.message : "");
    this.bar.hidden = !transfer;
    this.title.textContent = transfer ? transfer.file.name : (upload?.name ?? label);
    this.input.accept = kinds.join(",");
    this.input.setAttribute("aria-label", `${label}: choose a file`);
    if (transfer) this.drawTransfer(transfer);
    else if (idle) this.line.textContent = help || `Choose it or drop it here: ${kinds_text}, up to ${limit_text}.`;
    else if (upload) this.line.textContent = this.outcome(upload);
    this.setActions(transfer ? "cancel" : upload ? "replace" : "choose");
  }

  drawTransfer({ state, sent, file, speed, retry, unpacked }) {
    const share = state === "unpacking" ? unpacked : sent / file.size, percent = Math.floor(100 * share);
    this.bar.firstChild.style.width = `${100 * share}%`;
    this.bar.setAttribute("aria-valuenow", String(percent));
    this.bar.setAttribute("aria-label", state === "unpacking" ? "Unpacked" : "Uploaded");
    if (state === "unpacking") this.line.textContent = `Unpacking and checking, ${percent}%`;
    else if (retry) this.line.textContent = `${sizeText(sent)} of ${sizeText(file.size)}. The server does not answer; trying again.`;
    else {
      const left = speed ? `, ${timeText((file.size - sent) / speed)} left` : "";
      this.line.textContent = `${sizeText(sent)} of ${sizeText(file.size)}${speed ? `, ${sizeText(speed)}/s` : ""}${left}`;
    }
  }

  outcome({ state, size, files, passed_over, is_archive }) {
    if (state === "refused") return `${sizeText(size)}, refused`;
    if (!is_archive) return sizeText(size);
    const left = passed_over ? `; ${passed_over} system file${passed_over === 1 ? "" : "s"} left out` : "";
    return `${sizeText(size)}, ${files.toLocaleString("en")} file${files === 1 ? "" : "s"}${left}`;
  }

  // Buttons are made anew only when they are others: the one in focus stays.
  setActions(which) {
    if (this.shown === which) return;
    this.shown = which;
    if (which === "cancel") this.actions.replaceChildren(button("Cancel", () => this.transfer()?.cancel()));
    else if (which === "choose") this.actions.replaceChildren(this.choose);
    else this.actions.replaceChildren(this.choose, button("Delete", () => this.remove(), "quiet"));
    this.choose.lastChild.textContent = which === "replace" ? "Choose another" : "Choose a file";
  }

  async remove() {
    const { address, token, upload } = this.data;
    const headers = { "X-Upload-Token": token };
    const answer = await fetch(`${address}/${upload.id}`, { method: "DELETE", headers }).catch(() => null);
    if (answer?.ok || answer?.status === 404) {
      this.problem = "";
      this.report(null);
    } else {
      this.problem = (await answer?.json().catch(() => null))?.message ?? "The server does not answer. Try again.";
      this.draw();
    }
  }

  show(data, report) {
    this.data = data;
    this.report = report;
    this.awaited = null;
    this.follow();
    this.draw();
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".upload");
  root.widget ??= new Widget(root);
  root.widget.show(data, (id) => setStateValue("upload", id));
}
