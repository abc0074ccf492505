// What this page did and got: the strip draws it, and the server gets it if it asks.

const KEPT_S = 120; // how long the strip may look back
const MOST_EVENTS = 1000; // in one report

export class Journal {
  client = -1; // number of this page in the trace
  requests = []; // {number, path, start, end, connection, first, messages: [times], failed}
  connections = new Set(); // their numbers, as the server says
  asked = 0;
  bytes = 0; // of the answers to them that are complete, as the browser counts: those of streams are not
  spoken = []; // when this page spoke on a socket [s]
  ages = []; // [s] of messages of others on their arrival
  #events = []; // [t, name, request, message, size] on the server's clock
  numbers = 0; // of requests so far

  /** changed(): is told when there is something else to count. */
  constructor(clock, changed) {
    Object.assign(this, { clock, changed });
    new PerformanceObserver((list) => {
      for (const { name, transferSize } of list.getEntries()) {
        if (new URL(name).searchParams.has("request")) this.bytes += transferSize; // not files of the page
      }
      this.changed();
    }).observe({ type: "resource", buffered: true });
  }

  /** Number the requests from here on: those before were sent by this page before it was loaded anew. */
  continue(numbers) {
    this.numbers = Number(numbers) || 0;
  }

  /** A request that leaves now. */
  begin(path) {
    const number = this.client * 1_000_000 + this.numbers++;
    const request = { number, path, start: this.clock.now(), end: null, messages: [] };
    this.requests.push(request);
    this.asked++;
    this.#note("request_sent", request);
    const old = request.start - KEPT_S;
    while (this.requests[0].end !== null && this.requests[0].end < old) this.requests.shift();
    return request;
  }

  /** Note that a stream has begun; its answer is complete only at its end. */
  opened(request) {
    request.open = true;
    this.#note("response_received", request);
  }

  end(request) {
    request.end = this.clock.now();
    if (request.failed) this.#note("failed", request, -1, 0);
    else if (!request.open) this.#note("response_received", request);
  }

  received(message, request) {
    const now = this.clock.now();
    request.messages.push(now);
    this.#note("message_received", request, message.id, JSON.stringify(message).length);
  }

  /** Note that something was said on a socket, with no request of its own. */
  spoke() {
    this.spoken.push(this.clock.now());
  }

  /** Note on which connection a request goes, when the server has said it. */
  connected(request, connection) {
    if (request.connection === connection) return; // it says so more than once
    request.connection = connection;
    request.first = !this.connections.has(connection);
    this.connections.add(connection);
    this.changed();
  }

  /** The events since the last report. */
  report() {
    return this.#events.splice(0);
  }

  #note(name, request, message = -1, size = 0) {
    this.#events.push([this.clock.now(), name, request.number, message, size]);
    if (this.#events.length > MOST_EVENTS) this.#events.shift();
    this.changed();
  }
}

export const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
