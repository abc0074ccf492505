// Adds a button and a slider to a film that is opened by itself or in a frame; in an <img> no script runs.
const root = document.documentElement, { x, y, width, height } = root.viewBox.baseVal, bar = 30;
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
for (const sheet of document.styleSheets) // its reader has the button now, whatever motion they want elsewhere
  for (const rule of sheet.cssRules) if (rule instanceof CSSMediaRule) rule.media.mediaText = "all";
const film = document.getAnimations(), round = film[0].effect.getTiming().duration;
const end = round - 500 * Number(root.dataset.rest);

root.setAttribute("viewBox", [x, y, width, height + bar].join(" "));
root.style.cssText = "width:100vw;height:100vh"; // all of it, as large as its frame
const part = document.createElementNS("http://www.w3.org/2000/svg", "foreignObject");
for (const [key, value] of Object.entries({ x, y: y + height, width, height: bar })) part.setAttribute(key, value);
part.innerHTML = `<div xmlns="http://www.w3.org/1999/xhtml"
    style="display:flex;gap:10px;align-items:center;height:100%;padding:0 12px;box-sizing:border-box;font:11px system-ui">
  <button type="button" style="font:inherit;min-width:5em"></button>
  <input type="range" min="0" max="${round}" step="10" aria-label="time" style="flex:1"/></div>`;
root.append(part);

const button = part.querySelector("button"), slider = part.querySelector("input");
let playing;
const play = (on) => {
  playing = on;
  button.textContent = on ? "Pause" : "Play";
  for (const each of film) on ? each.play() : each.pause();
};
const seek = (ms) => {
  for (const each of film) each.currentTime = ms;
  slider.value = ms;
};
button.onclick = () => play(!playing);
slider.oninput = () => {
  play(false);
  seek(Number(slider.value));
};
seek(calm ? end : 0);
play(!calm);
(function tick() {
  if (playing) slider.value = film[0].currentTime % round;
  requestAnimationFrame(tick);
})();
