// The 3D panel. Lines and discs are drawn on a 2D canvas from far to near.

const TRAIL = 20;  // seconds of path on either side of now in longer clips
const SAMPLES = 500;  // of a path, at most
const LIMB = 0.05, DOT = 0.033;  // metres across

// Runs of frames of one person's path, as lists of frames on which there is a root.
function stretches(person, frame) {
  const around = Math.round(TRAIL / spacing);
  const first = Math.max(0, frame - around), last = Math.min(frames - 1, frame + around);
  const step = Math.max(1, Math.ceil((last - first + 1) / SAMPLES));
  const runs = [];
  let run = null;
  // Multiples of the step, so that the samples do not swim while time goes on.
  for (let f = Math.ceil(first / step) * step; f <= last; f += step) {
    if (!rootOf(person, f)) { run = null; continue; }
    if (!run) runs.push(run = []);
    run.push(f);
  }
  return runs;
}

function line(ctx, ends) {
  if (!ends) return;
  ctx.moveTo(ends[0][0], ends[0][1]);
  ctx.lineTo(ends[1][0], ends[1][1]);
}

function drawGrid(ctx, lens, colors) {
  const eyes = [];
  for (let i = 0; i < data.eye.length; i += 3) eyes.push([data.eye[i], data.eye[i + 1]]);
  const span = Math.max(data.high[0] - data.low[0], data.high[1] - data.low[1], 4);
  const low = [data.low[0] - 1, data.low[1] - 1], high = [data.high[0] + 1, data.high[1] + 1];
  for (const eye of eyes) for (const axis of [0, 1]) {
    // A camera far away is not worth a field of squares.
    low[axis] = Math.min(low[axis], Math.max(eye[axis] - 0.5, data.low[axis] - 2 * span));
    high[axis] = Math.max(high[axis], Math.min(eye[axis] + 0.5, data.high[axis] + 2 * span));
  }
  const square = [1, 2, 5, 10, 20, 50, 100, 1000, 1e5].find((size) => Math.max(high[0] - low[0], high[1] - low[1]) / size <= 60) || 1e6;
  const [x0, y0] = low.map((value) => Math.floor(value / square) * square);
  const [x1, y1] = high.map((value) => Math.ceil(value / square) * square);
  ctx.strokeStyle = colors.grid;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (let x = x0; x <= x1 + 1e-6; x += square) line(ctx, placeLine(lens, [x, y0, data.floor], [x, y1, data.floor]));
  for (let y = y0; y <= y1 + 1e-6; y += square) line(ctx, placeLine(lens, [x0, y, data.floor], [x1, y, data.floor]));
  ctx.stroke();
  return square;
}

const onFloor = (point) => [point[0], point[1], data.floor];

// Where somebody has been on the ground, and fainter where they will be.
function drawPaths(ctx, lens, frame, colors) {
  ctx.lineJoin = ctx.lineCap = "round";
  for (let person = 0; person < people; person++) {
    const runs = stretches(person, frame);
    for (const [past, alpha] of [[false, 0.35], [true, 0.95]]) {
      ctx.globalAlpha = alpha;
      ctx.strokeStyle = colors.people[person];
      ctx.lineWidth = 2;
      ctx.beginPath();
      for (const run of runs) for (let i = 1; i < run.length; i++) {
        if ((run[i] <= frame) !== past) continue;
        line(ctx, placeLine(lens, onFloor(rootOf(person, run[i - 1])), onFloor(rootOf(person, run[i]))));
      }
      ctx.stroke();
    }
    const root = rootOf(person, frame), spot = root && place(lens, onFloor(root));
    if (!spot) continue;
    // A disc that lies on the ground: its height on the panel is that of a circle seen from this pitch.
    const radius = lens.focal * 0.13 / spot[2];
    ctx.globalAlpha = 0.3;
    ctx.fillStyle = colors.people[person];
    ctx.beginPath();
    ctx.ellipse(spot[0], spot[1], radius, radius * Math.max(Math.abs(lens.forward[2]), 0.06), 0, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

// Two standard deviations around each root: the union of the ellipses of all frames, filled at once so that it
// does not darken where they overlap, and the one of now with an edge.
function drawTubes(ctx, lens, frame, colors) {
  const around = (shape) => {
    ctx.moveTo(shape.x + shape.long * Math.cos(shape.angle), shape.y + shape.long * Math.sin(shape.angle));
    ctx.ellipse(shape.x, shape.y, shape.long, shape.short, shape.angle, 0, 2 * Math.PI);
  };
  for (let person = 0; person < people; person++) {
    ctx.fillStyle = ctx.strokeStyle = colors.people[person];
    ctx.beginPath();
    for (const run of stretches(person, frame)) for (const f of run) {
      const spread = spreadOf(person, f), shape = spread && placeSpread(lens, rootOf(person, f), spread);
      if (shape) around(shape);
    }
    ctx.globalAlpha = colors.dark ? 0.2 : 0.15;
    ctx.fill("nonzero");
    const root = rootOf(person, frame), spread = root && spreadOf(person, frame);
    const shape = spread && placeSpread(lens, root, spread);
    if (!shape) continue;
    ctx.beginPath();
    around(shape);
    ctx.globalAlpha = 0.8;
    ctx.lineWidth = 1.2;
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

function drawCamera(ctx, lens, frame, size, colors) {
  ctx.strokeStyle = colors.soft;
  ctx.lineJoin = ctx.lineCap = "round";
  if (data.eye.length > 3) {
    const step = Math.max(1, Math.ceil(frames / SAMPLES));
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.6;
    ctx.beginPath();
    for (let f = step; f < frames; f += step) line(ctx, placeLine(lens, cameraOf(f - step).eye, cameraOf(f).eye));
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  const {eye, rays} = cameraOf(frame);
  const corners = rays.map((ray) => eye.map((value, i) => value + size * ray[i]));
  ctx.strokeStyle = colors.ink;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  corners.forEach((corner, i) => {
    line(ctx, placeLine(lens, eye, corner));
    line(ctx, placeLine(lens, corner, corners[(i + 1) % 4]));
  });
  ctx.stroke();
  // The upper edge of the picture, so that one sees which way up it is held.
  ctx.lineWidth = 3.5;
  ctx.beginPath();
  line(ctx, placeLine(lens, corners[0], corners[1]));
  ctx.stroke();
}

// Bones and joints of everybody, from far to near; returns where the joints are, to be clicked at.
function drawBodies(ctx, lens, frame, colors) {
  const parts = [], spots = [];
  for (let person = 0; person < people; person++) {
    const places = [];
    for (let i = 0; i < joints; i++) {
      const point = jointOf(person, frame, i), spot = point && place(lens, point);
      places.push(spot);
      if (!spot) continue;
      const hidden = isHidden(person, frame, i);
      spots.push({person, x: spot[0], y: spot[1]});
      parts.push({depth: spot[2] - 0.03, person, spot, hidden});
    }
    for (const [a, b] of data.bones) {
      if (!places[a] || !places[b]) continue;
      const hidden = isHidden(person, frame, a) || isHidden(person, frame, b);
      parts.push({depth: (places[a][2] + places[b][2]) / 2, person, ends: [places[a], places[b]], hidden});
    }
  }
  parts.sort((a, b) => b.depth - a.depth);
  ctx.lineCap = "round";
  for (const {depth, person, spot, ends, hidden} of parts) {
    const scale = lens.focal / depth;
    ctx.strokeStyle = ctx.fillStyle = colors.people[person];
    if (ends) {
      const width = Math.max(1.6, LIMB * scale);
      ctx.beginPath();
      line(ctx, ends);
      // A rim in the panel's colour tells limbs apart that cross; it ends with the bone, or it would cut into
      // the next one.
      ctx.lineCap = "butt";
      ctx.strokeStyle = colors.panel;
      ctx.lineWidth = width + 2;
      ctx.stroke();
      ctx.lineCap = "round";
      ctx.strokeStyle = colors.people[person];
      ctx.lineWidth = hidden ? 0.45 * width : width;
      ctx.stroke();
    } else {
      const radius = Math.max(1.8, DOT * scale);
      ctx.beginPath();
      ctx.arc(spot[0], spot[1], radius, 0, 2 * Math.PI);
      if (hidden) {
        ctx.fillStyle = colors.panel;
        ctx.lineWidth = Math.max(1.2, 0.4 * radius);
        ctx.fill();
        ctx.stroke();
      } else ctx.fill();
    }
  }
  return spots;
}

// Names over heads, moved up where they would cover each other. In a crowd those that find no room are left
// out; whoever is followed comes first.
function drawNames(ctx, spots, colors, followed) {
  const labels = [];
  for (const {person, x, y} of spots) {
    const label = labels.find((other) => other.person === person);
    if (!label) labels.push({person, x, y}); else if (y < label.y) Object.assign(label, {x, y});
  }
  labels.sort((a, b) => (b.person === followed) - (a.person === followed) || b.y - a.y);
  ctx.font = "600 12px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const placed = [];
  for (const label of labels) {
    const name = shortened(ctx, data.people[label.person].name, 140);
    const width = ctx.measureText(name).width + 22, box = {...label, name, left: label.x - width / 2, middle: label.y - 30, width};
    const covered = (other) => Math.abs(box.middle - other.middle) < 20 && box.left < other.left + other.width + 2 && other.left < box.left + width + 2;
    for (let other = placed.find(covered); other; other = placed.find(covered)) box.middle = other.middle - 21;
    if (box.middle >= 12) placed.push(box);
  }
  // A name that had to move away is tied to its head.
  ctx.lineWidth = 1;
  ctx.globalAlpha = 0.6;
  for (const {person, x, y, middle} of placed) {
    if (middle >= y - 34) continue;
    ctx.strokeStyle = colors.people[person];
    ctx.beginPath();
    line(ctx, [[x, middle], [x, y - 6]]);
    ctx.stroke();
  }
  for (const {person, name, left, middle, width} of placed) {
    ctx.globalAlpha = 0.88;
    ctx.fillStyle = colors.panel;
    ctx.beginPath();
    ctx.roundRect(left, middle - 9, width, 18, 9);
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.lineWidth = person === followed ? 2 : 1;
    ctx.strokeStyle = person === followed ? colors.people[person] : colors.line;
    ctx.stroke();
    ctx.fillStyle = colors.people[person];
    ctx.beginPath();
    ctx.arc(left + 9, middle, 3.5, 0, 2 * Math.PI);
    ctx.fill();
    ctx.fillStyle = colors.ink;
    ctx.fillText(name, left + 16, middle + 0.5);
  }
}

function shortened(ctx, text, room) {
  if (ctx.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && ctx.measureText(text.slice(0, end) + "…").width > room) end--;
  return text.slice(0, end) + "…";
}

function drawSpace(ctx, width, height, state, colors) {
  const {frame, view, layers, followed} = state;
  const root = followed >= 0 && rootOf(followed, frame);
  if (state.riding) rideCamera(view, frame, width, height);
  else if (root) view.target = root;
  const lens = lensOf(view, width, height);
  ctx.clearRect(0, 0, width, height);
  const square = layers.grid ? drawGrid(ctx, lens, colors) : 0;
  if (layers.paths) drawPaths(ctx, lens, frame, colors);
  if (layers.tubes) drawTubes(ctx, lens, frame, colors);
  if (layers.camera) drawCamera(ctx, lens, frame, state.cameraSize, colors);
  const spots = drawBodies(ctx, lens, frame, colors);
  if (layers.names) drawNames(ctx, spots, colors, followed);
  if (square) {
    ctx.font = "11px system-ui, sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.fillStyle = colors.soft;
    // Without the camera's path nobody knows where down is.
    const level = data.axes === "camera" ? ", level with the camera" : "";
    ctx.fillText(`grid: ${square} m${level}`, 10, height - 9);
  }
  return spots;
}

// The whole scene from the side or from above.
function setView(view, kind, frame, width, height) {
  const [low, high] = [data.low, data.high];
  const corners = [];
  for (const x of [low[0], high[0]]) for (const y of [low[1], high[1]]) for (const z of [low[2], high[2]]) corners.push([x, y, z]);
  const middle = low.map((value, i) => (value + high[i]) / 2);
  const {eye, axis} = axisOf(frame), heading = Math.atan2(axis[0], axis[1]);
  const span = Math.hypot(high[0] - low[0], high[1] - low[1], high[2] - low[2]);
  const near = Math.hypot(...middle.map((value, i) => value - eye[i])) < 3 * span + 4;
  view.field = FIELD;
  view.yaw = kind === "top" ? heading : heading - 0.9;
  view.pitch = kind === "top" ? 1.55 : 0.3;
  view.target = middle;
  // The camera belongs to the scene unless it is so far away that people would be dots.
  fitView(view, near ? [...corners, eye] : corners, width, height);
}

// From where the camera is on this frame, with its whole picture on the panel.
function rideCamera(view, frame, width, height) {
  const {eye, axis, rays} = axisOf(frame), middle = data.low.map((value, i) => (value + data.high[i]) / 2 - eye[i]);
  const depth = Math.max(dot(middle, axis), 1);
  view.target = eye.map((value, i) => value + depth * axis[i]);
  view.distance = depth;
  view.yaw = Math.atan2(axis[0], axis[1]);
  view.pitch = Math.asin(Math.max(-1, Math.min(1, -axis[2])));
  const half = (a, b) => Math.hypot(...a.map((value, i) => value - b[i])) / 2;
  const wide = half(rays[0], rays[1]) / width, tall = half(rays[0], rays[3]) / height;
  view.field = 2 * Math.atan(1.12 * Math.max(wide, tall) * Math.min(width, height));
}

// The eye and the direction, of length one, to the middle of the camera's picture.
function axisOf(frame) {
  const {eye, rays} = cameraOf(frame), sum = [0, 1, 2].map((i) => rays.reduce((total, ray) => total + ray[i], 0));
  const long = Math.hypot(...sum);
  return {eye, rays, axis: sum.map((value) => value / long)};
}
