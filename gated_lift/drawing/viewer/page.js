// The page: one state, one loop that draws when something has changed, and what hands and keys do to it.

const find = (selector) => document.querySelector(selector);
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];
const LAYERS = {names: "names", paths: "paths", tubes: "2σ tubes", camera: "camera", grid: "grid"};

const state = {
  frame: 0, time: 0, playing: false, speed: 1, followed: -1, lifted: false, view: orbit(), cameraSize: 0.6, riding: false,
  layers: Object.fromEntries(Object.keys(LAYERS).map((name) => [name, true])),
};
// fitted: somebody has chosen what to look at, and a new size of the window leaves it so.
let dirty = true, fitted = false, kind = "side", before = 0, colors = null, spots = {space: [], picture: []};

// ---------------------------------------------------------------- what the page says

document.body.dataset.people = people;
const facts = [
  `${people} ${people === 1 ? "person" : "people"}`,
  `${data.frames} frames at ${+data.fps.toFixed(3)} a second` + (data.step > 1 ? `, every ${data.step}${data.step === 2 ? "nd" : data.step === 3 ? "rd" : "th"} shown` : ""),
  `${data.axes} axes`,
];
if (data.pictures) facts.push(`pictures: ${+(data.fps / data.step / data.pictures.every).toFixed(1)} a second`);
find("#facts").textContent = facts.join(" · ");
find("header").title = data.source;

for (const [name, words] of Object.entries(LAYERS)) {
  if (name === "tubes" && !data.covariance) continue;
  const label = document.createElement("label"), box = document.createElement("input");
  Object.assign(box, {type: "checkbox", checked: true, name});
  box.addEventListener("change", () => { state.layers[name] = box.checked; dirty = true; });
  label.append(box, words);
  find("#layers").append(label);
}
if (!data.joints.some((value) => !Number.isNaN(value))) {
  const note = find("#empty");
  note.textContent = people ? "Nobody could be placed in 3D; the notes below say why." : "Nobody was found in this clip.";
  note.hidden = false;
}
// What went wrong, once for everybody of whom the same is to be said.
for (const status of new Set(data.people.filter(({good}) => !good).map((person) => person.status))) {
  const alike = data.people.filter((person) => person.status === status);
  const item = document.createElement("li"), bold = document.createElement("b");
  bold.textContent = `${alike.map(({name}) => name).join(", ")}: ${status}. `;
  item.append(bold, alike[0].advice);
  find("#notes").append(item);
}
for (const speed of SPEEDS) find("#speed").append(new Option(`${speed}×`, speed, false, speed === 1));
find("#scrub").max = frames - 1;

const rows = makeRows(find("#rows"), follow), top = residualTop();
find("#key").textContent = people ? `■ hidden, 0–100 %  ╱ residual, 0–${top.toFixed(0)} px` : "";
find("#key").title = "Filled: share of joints hidden. Line: mean distance between seen keypoints and projected joints. Bar: the person is present.";

// ---------------------------------------------------------------- colours

function mixed(color, other, share) {
  const part = (text, i) => parseInt(text.slice(1 + 2 * i, 3 + 2 * i), 16);
  return "#" + [0, 1, 2].map((i) => Math.round((1 - share) * part(color, i) + share * part(other, i)).toString(16).padStart(2, "0")).join("");
}

const darkness = matchMedia("(prefers-color-scheme: dark)");
function readColors() {
  const style = getComputedStyle(document.documentElement);
  colors = {dark: darkness.matches};
  for (const name of ["panel", "ink", "soft", "line", "grid", "film"]) colors[name] = style.getPropertyValue(`--${name}`).trim();
  // The same hues on a dark panel, lighter; black would not be seen there at all.
  colors.people = data.people.map(({color}) => (!colors.dark ? color : color === "#000000" ? "#ffffff" : mixed(color, "#ffffff", 0.25)));
  rows.forEach(({row}, person) => row.style.setProperty("--color", colors.people[person]));
}
darkness.addEventListener("change", () => { readColors(); drawLines(); dirty = true; });

// ---------------------------------------------------------------- sizes

// A canvas as sharp as the screen; drawing is in CSS pixels.
function prepared(canvas) {
  const {width, height} = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, {width: w, height: h});
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [ctx, width, height];
}

const spaceCanvas = find("#space canvas"), pictureCanvas = find("#picture canvas"), axisCanvas = find(".axis canvas");

function drawLines() {
  find("#rows").style.setProperty("--width", find("#lines").clientWidth);
  rows.forEach(({canvas}, person) => drawRow(...prepared(canvas), person, top, colors.people[person], colors));
  drawAxis(...prepared(axisCanvas), colors);
  placeHead();
}

function placeHead() {
  const track = axisCanvas.getBoundingClientRect(), lines = find("#lines").getBoundingClientRect();
  const share = (data.times[state.frame] + spacing / 2) / length;
  find("#head").style.transform = `translateX(${track.left - lines.left + share * track.width - 0.75}px)`;
}

function resized() {
  // The picture takes as much width as its height lets it use, up to a share.
  const main = find("main").getBoundingClientRect(), stage = find("#picture .stage").getBoundingClientRect();
  const wanted = stage.height * data.size[0] / data.size[1];
  find("#picture").style.width = `${Math.round(Math.max(220, Math.min(wanted + 2, 0.42 * main.width)))}px`;
  if (!fitted) lookFrom(kind);
  drawLines();
  dirty = true;
}

function lookFrom(wanted) {
  kind = wanted;
  const {width, height} = spaceCanvas.getBoundingClientRect();
  if (width < 2) return;
  state.riding = wanted === "camera";
  if (!state.riding) setView(state.view, wanted, state.frame, width, height);
  dirty = true;
}

// ---------------------------------------------------------------- time

function show(frame, time = data.times[frame]) {
  state.frame = frame;
  state.time = time;
  dirty = true;
}

function step(count) {
  play(false);
  show(Math.max(0, Math.min(frames - 1, state.frame + count)));
}

function play(on) {
  state.playing = on;
  before = performance.now();
  find("#play").textContent = on ? "Pause" : "Play";
  document.body.dataset.playing = on;
  dirty = true;
}

function setSpeed(index) {
  const select = find("#speed");
  select.selectedIndex = Math.max(0, Math.min(SPEEDS.length - 1, index));
  state.speed = SPEEDS[select.selectedIndex];
  document.body.dataset.speed = state.speed;
}

function follow(person) {
  state.followed = person === state.followed || person >= people ? -1 : person;
  document.body.dataset.followed = state.followed < 0 ? "" : data.people[state.followed].name;
  rows.forEach(({button}, index) => button.setAttribute("aria-pressed", index === state.followed));
  if (state.followed >= 0) {
    fitted = true;
    state.riding = false;
    state.view.field = FIELD;
    state.view.distance = Math.min(state.view.distance, 7);
    rows[person].row.scrollIntoView({block: "nearest"});
  }
  dirty = true;
}

// The page keeps the time itself: a slow browser skips frames, and a second of motion lasts a second.
function tick(now) {
  if (state.playing) {
    const time = (state.time + Math.max(0, now - before) / 1000 * state.speed) % length;
    before = now;
    state.time = time;
    const frame = frameAt(time);
    if (frame !== state.frame) show(frame, time);
  }
  if (dirty) {
    dirty = false;
    draw();
  }
  requestAnimationFrame(tick);
}

function draw() {
  const {frame} = state;
  spots.space = drawSpace(...prepared(spaceCanvas), state, colors);
  spots.picture = drawPicture(...prepared(pictureCanvas), state, colors, () => { dirty = true; });
  find("#scrub").value = frame;
  find("#clock").textContent = `${clockText(data.times[frame], 2)} of ${clockText(length, 2)} · frame ${frame * data.step}`;
  document.body.dataset.frame = frame;
  placeHead();
}

// ---------------------------------------------------------------- hands

// A click on a button would leave it with the focus, and the next space would press it again.
document.addEventListener("click", (event) => { if (event.detail && event.target.matches("button, input[type=checkbox], label")) document.activeElement.blur(); });
find("#play").addEventListener("click", () => play(!state.playing));
find("#back").addEventListener("click", () => step(-1));
find("#next").addEventListener("click", () => step(1));
find("#speed").addEventListener("change", (event) => { setSpeed(event.target.selectedIndex); event.target.blur(); });
find("#scrub").addEventListener("input", (event) => show(+event.target.value));
find("#lifted").addEventListener("change", (event) => { state.lifted = event.target.checked; dirty = true; });
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => { if (state.followed >= 0) follow(state.followed); fitted = false; lookFrom(button.dataset.view); });
}

// Timelines are scrubbed like the slider.
find("#lines").addEventListener("pointerdown", (event) => {
  if (event.target.tagName !== "CANVAS") return;
  const canvas = event.target;
  const seek = ({clientX}) => {
    const box = canvas.getBoundingClientRect();
    show(frameAt(Math.max(0, Math.min(1, (clientX - box.left) / box.width)) * length));
  };
  canvas.setPointerCapture(event.pointerId);
  canvas.onpointermove = seek;
  canvas.onpointerup = canvas.onpointercancel = () => { canvas.onpointermove = null; };
  seek(event);
});

// Who stands where the pointer is.
function personNear(list, x, y) {
  let best = -1, nearest = 22;
  for (const spot of list) {
    const distance = Math.hypot(spot.x - x, spot.y - y);
    if (distance < nearest) [best, nearest] = [spot.person, distance];
  }
  return best;
}

function clicked(event, list) {
  const box = event.currentTarget.getBoundingClientRect();
  const person = personNear(list, event.clientX - box.left, event.clientY - box.top);
  if (person >= 0) follow(person);
}

pictureCanvas.addEventListener("click", (event) => clicked(event, spots.picture));

const pointers = new Map();
let moved = 0;
spaceCanvas.addEventListener("pointerdown", (event) => {
  spaceCanvas.setPointerCapture(event.pointerId);
  if (!pointers.size) moved = 0;
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
});
spaceCanvas.addEventListener("pointermove", (event) => {
  const from = pointers.get(event.pointerId);
  if (!from) return;
  const to = [event.clientX, event.clientY], {view} = state;
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  moved += Math.hypot(dx, dy);
  if (moved < 5) return;  // a click of an unsteady hand
  fitted = true;
  state.riding = false;
  dirty = true;
  if (pointers.size === 2) {
    // Two fingers: their distance zooms.
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const stretch = (spot) => Math.max(10, Math.hypot(spot[0] - other[0], spot[1] - other[1]));
    zoom(stretch(from) / stretch(to));
  } else if (event.shiftKey || event.buttons & 6) {
    const lens = lensOf(view, spaceCanvas.clientWidth, spaceCanvas.clientHeight), scale = view.distance / lens.focal;
    if (state.followed >= 0) follow(state.followed);
    view.target = view.target.map((value, i) => value - scale * (dx * lens.right[i] - dy * lens.up[i]));
  } else {
    view.yaw += 0.008 * dx;
    view.pitch = Math.max(-1.55, Math.min(1.55, view.pitch + 0.008 * dy));
  }
  pointers.set(event.pointerId, to);
});
spaceCanvas.addEventListener("pointerup", (event) => {
  if (pointers.delete(event.pointerId) && moved < 5 && event.button === 0) clicked(event, spots.space);
});
spaceCanvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
spaceCanvas.addEventListener("contextmenu", (event) => event.preventDefault());
spaceCanvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(0.0015 * Math.max(-300, Math.min(300, event.deltaY))));
}, {passive: false});

function zoom(factor) {
  fitted = true;
  state.riding = false;
  state.view.distance = Math.max(0.5, Math.min(500, state.view.distance * factor));
  dirty = true;
}

document.addEventListener("keydown", (event) => {
  const {key, target} = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.tagName === "SELECT") return;
  if (key === " " && target.matches("button, input[type=checkbox]")) return;  // presses what has the focus
  const second = Math.max(1, Math.round(1 / spacing)), far = event.shiftKey ? second : 1;
  const acts = {
    " ": () => play(!state.playing),
    ArrowLeft: () => step(-far), ArrowRight: () => step(far),
    Home: () => step(-frames), End: () => step(frames),
    ArrowUp: () => setSpeed(find("#speed").selectedIndex + 1),
    ArrowDown: () => setSpeed(find("#speed").selectedIndex - 1),
    Escape: () => { if (state.followed >= 0) follow(state.followed); },
    s: () => find("[data-view=side]").click(), c: () => find("[data-view=camera]").click(), t: () => find("[data-view=top]").click(),
  };
  const act = acts[key] || (/^[1-9]$/.test(key) && (() => follow(+key - 1)));
  if (!act || (event.repeat && key === " ")) return;
  event.preventDefault();
  act();
});

// ---------------------------------------------------------------- begin

// A camera is drawn larger where it is seen from farther away.
const reach = Math.hypot(...data.low.map((value, i) => data.high[i] - value));
state.cameraSize = Math.max(0.3, Math.min(1.5, 0.09 * reach));
readColors();
setSpeed(SPEEDS.indexOf(1));
follow(-1);
play(false);
new ResizeObserver(resized).observe(find("main"));
resized();
requestAnimationFrame(tick);
