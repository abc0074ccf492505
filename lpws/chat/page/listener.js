// Listening without an end: choose a way, and when it fails, wait and try again where it ended.

import { TRANSPORTS, fromLines, pause } from "./transports.js";

/** An answer other than the wanted one: its status (RFC 9110 §15), when to ask again [s], and why. */
export class Refusal extends Error {
  constructor(status, wait = 0, why = "") {
    super(why || `the server answered ${status}`);
    Object.assign(this, { status, wait });
  }

  /** What an answer says that is not the wanted one; the reason is the body, a line "400 Too long". */
  static async of(response) {
    const why = (await response.text().catch(() => "")).replace(/^\d+ /, "").trim();
    return new Refusal(response.status, Number(response.headers.get("Retry-After")), why.slice(0, 200));
  }
}

/** A signal that ends a request when it is not wanted any more, or after so long [s]. */
export const within = (seconds, signal) =>
  AbortSignal.any([AbortSignal.timeout(1000 * seconds), ...(signal ? [signal] : [])]);

/** Whether the room itself is gone (RFC 9110 §15.5): another one, with another token, has its address. */
const CLOSED = [403, 404, 410];
/** Whether a request is refused for what it says: the same again would be refused again. */
const WRONG = [400, 405, 411, 413, 414, 415, 422, 431];

/** The longest pause [s] before attempt n + 1: twice as long each time, up to a limit. */
export const longest = (n, times) => Math.min(times.retry_most_s, times.retry_s * 2 ** n);

export class Listener {
  cursor = 0; // id of the last message that the page has
  interval = 1; // of short polling, in multiples of the server's
  send = null; // speaks on the line, while it is an open WebSocket; resolves with the answer
  answered = () => {}; // takes that answer
  signs = 0; // of life
  failures = 0; // since the last of them
  times = { retry_s: 0.5, retry_most_s: 20, timeout_s: 10 }; // until the server tells its own
  #stop = new AbortController();
  #wake = () => {};
  #reload = () => {};

  /**
   * journal: keeps what happens · enter(by, signal): comes in by this way, and gives the times and
   * the ticket · hear(message): takes each message once, in order · lost(n): is told of messages that
   * the room does not keep any more · state(name, wait, why): is told how things stand: "here", "away"
   * for so long [s], "full" for so long, "refused", or "closed".
   */
  constructor({ journal, enter, hear, lost, state }) {
    Object.assign(this, { journal, enter, hear, lost, state });
  }

  get signal() {
    return this.#stop.signal;
  }

  /** Listen by this way from now on. */
  choose(by) {
    this.by = by;
    this.#stop.abort();
    this.#stop = new AbortController();
    this.failures = 0;
    this.#listen(by, this.#stop.signal);
  }

  stop() {
    this.#stop.abort();
  }

  /** Do not wait any longer before the next attempt. */
  hurry() {
    this.failures = 0;
    this.#wake();
  }

  /** Ask once, if the way in is to reload. */
  reload() {
    this.#reload();
  }

  /** Waits until a reload is asked for, from this call on; fails if another way is chosen. */
  reloaded() {
    const { promise, resolve, reject } = Promise.withResolvers();
    promise.catch(() => {}); // if the answer under way fails, nobody waits for this one
    this.#reload = resolve;
    this.signal.addEventListener("abort", reject, { once: true });
    return promise;
  }

  alive() {
    this.signs++;
    this.failures = 0;
    this.state("here");
  }

  async #listen(by, signal) {
    while (!signal.aborted) {
      try {
        ({ times: this.times, ticket: this.ticket } = await this.enter(by, signal));
        if (signal.aborted) return;
        await TRANSPORTS[by].listen(this);
      } catch (error) {
        if (signal.aborted) return;
        if (CLOSED.includes(error.status)) return this.state("closed");
        if (WRONG.includes(error.status)) return this.state("refused", 0, error.message);
        // All pages may have lost their connections at once; they must not come back at once.
        const wait = (error.wait || 0) + Math.random() * longest(this.failures++, this.times);
        this.state(error.status === 503 ? "full" : "away", wait);
        await this.#rest(wait, signal);
      }
    }
  }

  async #rest(seconds, signal) {
    const woken = new Promise((resolve) => (this.#wake = resolve));
    await Promise.race([pause(seconds, signal), woken]).catch(() => {});
  }

  address(path, query) {
    const all = { ticket: this.ticket, cursor: this.cursor, ...query };
    return `${path}?${new URLSearchParams(all)}`;
  }

  /** Ask, and take the messages of the answer, which may take so long [s]. */
  async ask(path, query, limit) {
    const { signal } = this;
    const request = this.journal.begin(path);
    try {
      const address = this.address(path, { ...query, request: request.number });
      const response = await fetch(address, { signal: within(limit, signal), cache: "no-store" });
      if (!response.ok) throw await Refusal.of(response);
      this.journal.connected(request, Number(response.headers.get("Lpws-Connection")));
      const messages = fromLines(await response.text());
      if (signal.aborted) throw new Error("another way was chosen");
      this.take(messages, request);
    } catch (error) {
      request.failed = !signal.aborted; // not if it is not wanted any more
      throw error;
    } finally {
      this.journal.end(request);
    }
  }

  /** Take messages; those that the page has already are passed over. */
  take(messages, request) {
    for (const message of messages) {
      if (message.id === 0) {
        // What the server says of a stream, or of what was said on it.
        if (message.kind === "beat") this.journal.connected(request, message.connection);
        else this.answered(message);
      } else if (message.id > this.cursor) {
        const missed = message.id - this.cursor - 1;
        // The room keeps its latest messages: older ones may be missing where an answer begins, nowhere else.
        if (missed && request.heard) throw new Error(`after ${this.cursor} came ${message.id}`);
        if (missed) this.lost(missed);
        request.heard = true;
        this.cursor = message.id;
        this.journal.received(message, request);
        this.hear(message);
      }
    }
    this.alive();
  }
}
