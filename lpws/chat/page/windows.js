// How many windows of this browser hold a connection to the room. Over HTTP/1.1 a browser opens no more
// than six to one server: a seventh window would wait for ever, even for its first line of HTML, and
// nobody could say why. So each of the six says so. (WebSockets are counted apart: there may be 255.)
//
// Each window that holds one has a lock of the browser's, which ends with the window however it ends.

const MOST = 6;
const LOCK = `holds a connection to ${location.pathname}`;

export class Windows {
  #release = null;
  #channel = null;

  /** changed(n): is told how many windows hold a connection, when it may be another number. */
  constructor(changed) {
    this.changed = changed;
    const [{ nextHopProtocol }] = performance.getEntriesByType("navigation");
    // HTTP/2 has streams in place of connections; a page of another machine without TLS has no locks.
    if (nextHopProtocol !== "http/1.1" || !navigator.locks) return;
    this.#channel = new BroadcastChannel(LOCK);
    this.#channel.onmessage = () => this.#count();
  }

  /** Note whether this window holds a connection. */
  hold(held) {
    if (!this.#channel || held === Boolean(this.#release)) return;
    if (held) {
      let release;
      const released = new Promise((resolve) => (release = resolve));
      this.#release = release;
      navigator.locks.request(LOCK, { mode: "shared" }, () => {
        this.#tell();
        return released;
      }).then(() => this.#tell());
    } else {
      this.#release();
      this.#release = null;
    }
  }

  #tell() {
    this.#channel.postMessage("count again");
    this.#count();
  }

  async #count() {
    const { held } = await navigator.locks.query();
    this.changed(held.filter(({ name }) => name === LOCK).length);
  }
}

/** What is to be said of so many windows; nothing while there are few. */
export function crowding(windows) {
  if (windows < MOST) return "";
  return `${windows} windows of this browser wait on a connection each, and over HTTP/1.1 it opens no more than `
    + "six to one server: another one would not even load, and what you send may have to wait. Close a window, "
    + "or choose WebSocket or short polling in one.";
}
