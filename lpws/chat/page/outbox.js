// What the reader said and the room may not have yet: each is sent until the room has it, in order.

import { Refusal, longest } from "./listener.js";

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
   * letter(message): what the server is to get · post(letter): resolves when it has it · line: the
   * Listener, which may have a socket to speak on · changed(): is told when `waiting` is another ·
   * refused(message): is told what the server does not take.
   */
  constructor({ letter, post, line, changed, refused }) {
    Object.assign(this, { letter, post, line, changed, refused });
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
    try {
      while (this.waiting.length) {
        const [message] = this.waiting;
        if (this.line.send) {
          // On a socket there is no answer: the message itself comes back, and `seen` is called.
          for (const each of this.waiting) this.#sendOn(this.line.send, each);
          return;
        }
        try {
          await this.post(this.letter(message));
          this.#failures = 0;
          this.#drop(message.key);
        } catch (error) {
          if (error instanceof Refusal && error.status < 500) {
            this.#drop(message.key);
            this.refused(message);
          } else {
            const wait = Math.random() * longest(this.#failures++, this.line.times);
            await new Promise((resolve) => {
              this.#wake = resolve;
              setTimeout(resolve, 1000 * wait);
            });
          }
        }
      }
    } finally {
      this.#busy = false;
    }
  }

  #sendOn(send, message) {
    if (message.on === send) return; // this socket has it
    message.on = send;
    send(JSON.stringify(this.letter(message)));
  }

  #drop(key) {
    const place = this.waiting.findIndex((message) => message.key === key);
    if (place >= 0) {
      this.waiting.splice(place, 1);
      this.changed();
    }
  }
}
