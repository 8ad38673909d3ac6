// One connection to the live stream, opened again when it breaks, and its state told.

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;
const SILENCE_MS = 40_000;

export class Stream {
  /** `on.state(name)` hears connecting, live, stale, lost, denied; `on[event](data)`. */
  constructor(on) {
    this.on = on;
    this.pause = FIRST_PAUSE_MS;
    this.last = null;
    this.source = null;
    this.timers = [];
  }

  async open() {
    this.shut();
    this.on.state("connecting");
    const attempt = (this.attempt = Symbol("attempt"));
    // An EventSource does not tell why it was refused; this does.
    const refused = await this.ask();
    if (attempt !== this.attempt) return;
    if (refused === "denied") return this.on.state("denied");
    if (refused) return this.again(refused);
    const after = this.last ? `?after=${encodeURIComponent(this.last)}` : "";
    const source = (this.source = new EventSource(`/v1/live/stream${after}`));
    for (const name of ["snapshot", "summary", "movements"]) {
      source.addEventListener(name, (event) => {
        this.heard();
        if (event.lastEventId) this.last = event.lastEventId;
        this.on.state("live");
        this.on[name](JSON.parse(event.data));
      });
    }
    source.addEventListener("unreadable", () => {
      this.heard();
      this.on.state("stale");
    });
    source.addEventListener("beat", () => this.heard());
    source.addEventListener("error", () => this.again("lost"));
    this.watch();
  }

  async ask() {
    try {
      const answer = await fetch("/v1/live/summary", { headers: { Accept: "application/json" } });
      if (answer.ok) return null;
      if (answer.status === 401 || answer.status === 403) return "denied";
      return answer.status === 503 ? "stale" : "lost";
    } catch {
      return "lost";
    }
  }

  heard() {
    this.pause = FIRST_PAUSE_MS;
    this.watch();
  }

  // A connection that is cut without a word shows itself by silence.
  watch() {
    this.clear();
    this.timers.push(setTimeout(() => this.again("lost"), SILENCE_MS));
  }

  again(state) {
    this.shut();
    this.on.state(state);
    this.timers.push(setTimeout(() => this.open(), this.pause));
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
  }

  clear() {
    this.timers.forEach(clearTimeout);
    this.timers = [];
  }

  shut() {
    this.attempt = null;
    this.clear();
    this.source?.close();
    this.source = null;
  }
}
