// The page's clock, set by the server's: a message can be dated only if both tell the same time.

export class Clock {
  offset = 0; // [s] what to add to the page's clock
  error = Infinity; // [s] how far it may be wrong: half of the best round trip

  /** Now [s], as the server's clock shows it. */
  now() {
    return performance.now() / 1000 + this.offset;
  }

  /** Ask the server for the time, `n` times, and believe the quickest answer. */
  async set(fetchTime, n) {
    const before = this.error;
    this.error = Infinity;
    try {
      for (let i = 0; i < n; i++) {
        const asked = performance.now() / 1000;
        const server = await fetchTime();
        const answered = performance.now() / 1000;
        const half = (answered - asked) / 2;
        if (half < this.error) {
          this.error = half;
          this.offset = server - (asked + half);
        }
      }
    } finally {
      if (this.error === Infinity) this.error = before;
    }
  }
}
