// Five ways to hear of news. Each `listen` goes on until it fails, and throws what failed.
//
// `line` is what they share: line.cursor (id of the last message that the page has), line.times
// (durations in seconds), line.signal (aborted when the reader chooses another way),
// line.ask(path, query, limit) (takes the messages of one answer), line.address(path, query),
// line.take(messages, request), line.alive() (a sign of life), line.journal (what the strip draws).

/** Messages from lines like "7 {…}": an id, a space, and JSON. */
export function fromLines(text) {
  return text.split("\n").filter(Boolean).map((row) => {
    const space = row.indexOf(" ");
    return { ...JSON.parse(row.slice(space + 1)), id: Number(row.slice(0, space)) };
  });
}

async function reload(line) {
  for (;;) {
    const wanted = line.reloaded(); // from now on: the answer under way may not have it
    await line.ask("reload", { patience: line.times.reload_s }, line.times.timeout_s);
    await wanted; // until the reader presses the button, or has posted something
  }
}

async function shortPolling(line) {
  for (;;) {
    const interval = line.interval * line.times.interval_s;
    const due = performance.now() / 1000 + interval;
    await line.ask("shortpolling", { patience: interval }, line.times.timeout_s);
    await pause(due - performance.now() / 1000, line.signal);
  }
}

async function longPolling(line) {
  const hold = line.times.hold_s;
  for (;;) {
    await line.ask("longpolling", { hold }, hold + line.times.timeout_s);
  }
}

function eventStream(line) {
  const request = line.journal.begin("sse");
  const source = new EventSource(line.address("sse", { request: request.number }));
  return stream(line, request, (take, end) => {
    source.onopen = () => line.journal.opened(request);
    source.onmessage = ({ data, lastEventId }) => take(`${lastEventId} ${data}`);
    source.addEventListener("beat", ({ data }) => take(`0 ${data}`));
    // The browser would connect again by itself, always after the same time; the page does it with
    // growing pauses, and for every transport alike.
    source.onerror = () => end("the stream ended");
    return () => source.close();
  });
}

function webSocket(line) {
  const request = line.journal.begin("websocket");
  const address = new URL(line.address("websocket", { request: request.number }), location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  let lost = () => {}; // tells who waits for an answer that there will be none
  return stream(line, request, (take, end) => {
    socket.onopen = () => {
      line.journal.opened(request);
      line.send = (text) => new Promise((resolve, reject) => {
        line.answered = resolve;
        lost = reject;
        socket.send(text);
        line.journal.spoke();
      });
      line.alive();
    };
    socket.onmessage = ({ data }) => take(data);
    socket.onclose = ({ code }) => end(`the socket closed, code ${code}`);
    return () => {
      line.send = null;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      lost(new Error("the socket closed"));
    };
  });
}

/** A stream until it ends, falls silent for three beats, or is not wanted any more. */
function stream(line, request, open) {
  return new Promise((_, reject) => {
    let seen = line.signs;
    const end = (why) => {
      clearInterval(watch);
      line.signal.removeEventListener("abort", unwanted);
      close();
      line.journal.end(request);
      reject(new Error(why));
    };
    const take = (text) => {
      try {
        line.take(fromLines(text), request);
      } catch (error) {
        end(error.message);
      }
    };
    const unwanted = () => end("another way was chosen");
    const watch = setInterval(() => {
      if (seen === line.signs) end("the line is dead");
      seen = line.signs;
    }, 3000 * line.times.beat_s);
    const close = open(take, end);
    line.signal.addEventListener("abort", unwanted);
  });
}

/** Wait [s], or less if the signal is aborted; then throw. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new Error("another way was chosen"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, Math.max(0, 1000 * seconds));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

export const TRANSPORTS = {
  "reload": { listen: reload, says: "Nothing comes by itself: you press Reload." },
  "short polling": { listen: shortPolling, says: "The page asks every so often, and mostly hears: nothing new." },
  "long polling": { listen: longPolling, says: "The page asks, and the server answers when it has news." },
  "SSE": { listen: eventStream, says: "One answer that never ends; news comes when it happens." },
  "WebSocket": { listen: webSocket, says: "One connection on which both sides speak when they like." },
};
