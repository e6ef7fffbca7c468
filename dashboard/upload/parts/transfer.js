// One file on its way to the server: piece by piece, going on after a broken connection, whatever page is shown.

const SPEED_OVER = 5000; // milliseconds over which the speed is measured
const LOOK_EVERY = 500; // milliseconds between two looks at the unpacking
const TRIES = 12; // in a row without a byte; the waits between them grow to a quarter of a minute

function later(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

class Refused extends Error {}

class Transfer {
  constructor(file, settings) {
    Object.assign(this, { file, settings, state: "receiving", sent: 0, unpacked: 0, id: null, message: "", retry: 0 });
    this.marks = []; // [time, bytes sent], for the speed
    this.tell = () => {};
    addEventListener("beforeunload", this.warn);
    this.done = this.run().catch((error) => this.fail(error)).finally(() => removeEventListener("beforeunload", this.warn));
  }

  warn = (event) => {
    if (this.state === "receiving") event.preventDefault(); // the reader's file cannot be read any more afterwards
  };

  // One request; resolves to what the server says, throws Refused with its words, or another error when it is away.
  ask(method, path, body, onProgress) {
    return new Promise((resolve, reject) => {
      const request = (this.request = new XMLHttpRequest());
      request.open(method, `${this.settings.address}${path}`);
      request.setRequestHeader("X-Upload-Token", this.settings.token);
      request.responseType = "json";
      if (onProgress) request.upload.onprogress = (event) => onProgress(event.loaded);
      request.onload = () => {
        const { status, response } = request;
        if (status < 300 && response) resolve(response);
        else if (status === 409 && method === "PUT") reject(new Error("somewhere else")); // ask for the offset again
        else if (status >= 500 && status !== 507) reject(new Error(String(status)));
        else reject(new Refused(response?.message ?? `The server refused the file (${status}).`));
      };
      request.onerror = request.onabort = request.ontimeout = () => reject(new Error("no answer"));
      request.send(body);
    });
  }

  async run() {
    const { name, size, lastModified } = this.file;
    const body = JSON.stringify({ name, size, stamp: String(lastModified) });
    let said = await this.trying(() => this.ask("POST", "", body));
    this.id = said.id;
    while (said.state === "receiving") said = await this.trying((again) => this.send(said, again));
    while (said.state === "received" || said.state === "unpacking") {
      this.change({ state: "unpacking", unpacked: said.unpacked ?? 0 });
      await later(LOOK_EVERY);
      said = await this.trying(() => this.ask("GET", `/${this.id}`));
    }
    this.change({ state: said.state, message: said.message });
  }

  async send(said, again) {
    if (again) said = await this.ask("GET", `/${this.id}`);
    if (said.state !== "receiving") return said;
    const { offset, piece } = said;
    this.progress(offset);
    const blob = this.file.slice(offset, offset + piece);
    return this.ask("PUT", `/${this.id}?offset=${offset}`, blob, (loaded) => this.progress(offset + loaded));
  }

  // Until the server answers, waiting longer and longer; what it refuses is final.
  async trying(work) {
    for (let tries = 0; ; tries += 1) {
      if (this.cancelled) throw new Refused("");
      const before = this.sent;
      try {
        const said = await work(tries > 0);
        if (this.retry) this.change({ retry: 0 });
        return said;
      } catch (error) {
        if (error instanceof Refused || this.cancelled) throw error;
        if (this.sent > before) tries = 0;
        if (tries >= TRIES) throw new Refused("The server has not answered for minutes. Choose the file again to go on where it stopped.");
        const wait = 2 ** Math.min(tries, 5) / 2;
        this.change({ retry: wait });
        await later(wait * 1000);
      }
    }
  }

  progress(sent) {
    const now = performance.now();
    this.marks.push([now, sent]);
    while (this.marks.length > 2 && now - this.marks[0][0] > SPEED_OVER) this.marks.shift();
    this.change({ sent: Math.min(sent, this.file.size) });
  }

  // Bytes a second of late; 0 until it can be told.
  get speed() {
    const [first, last] = [this.marks[0], this.marks.at(-1)];
    return last && last[0] - first[0] > 300 ? Math.max(0, ((last[1] - first[1]) / (last[0] - first[0])) * 1000) : 0;
  }

  change(changes) {
    Object.assign(this, changes);
    this.tell();
  }

  fail(error) {
    this.change({ state: this.cancelled ? "cancelled" : "failed", message: error.message });
  }

  async cancel() {
    this.cancelled = true;
    this.request?.abort();
    this.change({ state: "cancelled" });
    await this.done;
    if (this.id) await this.ask("DELETE", `/${this.id}`).catch(() => {}); // what stays is swept away in a day
  }
}
