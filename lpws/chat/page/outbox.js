// What the reader said and the room may not have yet: sent until the room has it, in order.
//
// All that waits goes in one letter: on a bad line every letter costs a round trip.

import { Refusal, longest } from "./listener.js";

const MOST = 50, MOST_BYTES = 32_000; // in one letter; the server takes no more messages, and 65,536 bytes

/** 128 bits that nobody can guess. */
export function secret() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  waiting = []; // {key, text, typed}, oldest first
  #busy = false;
  #failures = 0;
  #wake = () => {};

  /**
   * deliver(letter): resolves with the ids of the first of the messages, which the room took, and throws
   * a Refusal if it took none · line: the Listener, which knows the times · changed(): is told when
   * `waiting` is another · refused(message): is told what the room will never take · slowed(): is
   * told when it is to be later · strange(): is told that the room does not know this page any more.
   */
  constructor({ deliver, line, changed, refused, slowed, strange }) {
    Object.assign(this, { deliver, line, changed, refused, slowed, strange });
  }

  say(text, typed) {
    // With the same key the server takes the same message once, however often it is sent.
    this.waiting.push({ key: secret(), text, typed });
    this.changed();
    this.flush();
  }

  /** Do not wait any longer before the next attempt. */
  hurry() {
    this.#failures = 0;
    this.#wake();
    this.flush();
  }

  /** Note that the room has it. */
  seen(key) {
    this.#drop(key);
  }

  /** Send what waits; harmless if it is being sent. */
  async flush() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.waiting.length) {
      const letter = this.#letter();
      try {
        const { ids } = await this.deliver(letter);
        this.#failures = 0;
        for (const { key } of letter.slice(0, ids.length)) this.#drop(key);
      } catch (error) {
        const { times } = this.line;
        if (error instanceof Refusal && error.status === 429) {
          this.slowed(times);
          // After a burst the room takes no more than then; a proxy may refuse without a word on when.
          await this.#rest(Math.min(error.wait || Infinity, times.burst_s));
        } else if (error instanceof Refusal && [403, 404, 409, 410].includes(error.status)) {
          // Not for what it says: it waits until this page has come in again.
          if (error.status === 409) this.strange();
          await this.#rest(longest(this.#failures++, times));
        } else if (error instanceof Refusal && error.status < 500) {
          this.#drop(letter[0].key); // of several the first is what it refuses
          this.refused(letter[0]);
        } else {
          await this.#rest(Math.random() * longest(this.#failures++, times));
        }
      }
    }
    this.#busy = false;
  }

  /** The oldest of what waits, as much as a letter may hold. */
  #letter() {
    const letter = [];
    let size = 0;
    for (const message of this.waiting.slice(0, MOST)) {
      size += new TextEncoder().encode(JSON.stringify(message)).length;
      if (letter.length && size > MOST_BYTES) break;
      letter.push(message);
    }
    return letter;
  }

  #rest(seconds) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, 1000 * seconds);
    });
  }

  #drop(key) {
    const place = this.waiting.findIndex((message) => message.key === key);
    if (place >= 0) {
      this.waiting.splice(place, 1);
      this.changed();
    }
  }
}
