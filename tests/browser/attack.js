// What a page of another origin would try, with the address of the room and the secret of somebody in it.
async ([url, secret]) => {
  const letter = JSON.stringify({ secret, said: [{ key: "k", text: "from elsewhere", typed: 0 }] });
  const json = { "Content-Type": "application/json" };
  const tried = (promise) => promise.then(() => true, () => false);
  const socket = new WebSocket(url.replace(/^http/, "ws") + "websocket?cursor=0");
  const stream = new EventSource(url + "sse?cursor=0");
  const first = (what, ...names) => new Promise((resolve) => {
    for (const name of names) what.addEventListener(name, () => resolve(name === "open"));
  });
  // Both are listened to from the start: either may have failed before the other has.
  const [socketOpens, streamOpens] = [first(socket, "open", "error", "close"), first(stream, "open", "error")];
  const good = (answer) => (answer.ok ? answer.text() : Promise.reject());
  const results = {
    socket: await socketOpens,
    stream: await streamOpens,
    read: await tried(fetch(url + "reload?cursor=0").then(good)),
    post: await tried(fetch(url + "post", { method: "POST", headers: json, body: letter }).then(good)),
  };
  // These need no leave, and no answer can be read; the room must not take them all the same.
  for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
    const headers = { "Content-Type": type };
    await tried(fetch(url + "post", { method: "POST", mode: "no-cors", headers, body: letter }));
  }
  navigator.sendBeacon(url + "post", letter);
  await tried(fetch(url + "reload?cursor=0", { mode: "no-cors" }));
  socket.close();
  stream.close();
  return results;
}
