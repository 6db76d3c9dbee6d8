// The eye of the 3D view: it looks at a target from a direction and a distance. z is up.

const FIELD = 38 * Math.PI / 180;  // of view, over the shorter side of the panel, unless a view says otherwise
const NEAR = 0.05;

function orbit() {
  return {target: [0, 0, 0], yaw: 0, pitch: 0.3, distance: 8, field: FIELD};
}

// What it takes to put points on a panel of this size.
function lensOf(view, width, height) {
  const [cy, sy, cp, sp] = [Math.cos(view.yaw), Math.sin(view.yaw), Math.cos(view.pitch), Math.sin(view.pitch)];
  const forward = [cp * sy, cp * cy, -sp], right = [cy, -sy, 0], up = [sy * sp, cy * sp, cp];
  const eye = view.target.map((value, i) => value - view.distance * forward[i]);
  const focal = Math.min(width, height) / 2 / Math.tan(view.field / 2);
  return {eye, forward, right, up, focal, middle: [width / 2, height / 2]};
}

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

function seenFrom(lens, point) {
  const away = [point[0] - lens.eye[0], point[1] - lens.eye[1], point[2] - lens.eye[2]];
  return [dot(away, lens.right), dot(away, lens.up), dot(away, lens.forward)];
}

function onPanel(lens, [x, y, z]) {
  return [lens.middle[0] + lens.focal * x / z, lens.middle[1] - lens.focal * y / z, z];
}

// [x, y, depth] on the panel, or null behind the eye.
function place(lens, point) {
  const seen = seenFrom(lens, point);
  return seen[2] > NEAR ? onPanel(lens, seen) : null;
}

// Both ends of a line on the panel, cut where it passes behind the eye.
function placeLine(lens, from, to) {
  const ends = [seenFrom(lens, from), seenFrom(lens, to)];
  if (ends[0][2] <= NEAR && ends[1][2] <= NEAR) return null;
  for (const [i, k] of [[0, 1], [1, 0]]) {
    if (ends[i][2] > NEAR) continue;
    const share = (1.01 * NEAR - ends[i][2]) / (ends[k][2] - ends[i][2]);
    ends[i] = ends[i].map((value, axis) => value + share * (ends[k][axis] - value));
  }
  return ends.map((end) => onPanel(lens, end));
}

// The region within two standard deviations as an ellipse on the panel: J C J' with the Jacobian J of `place`.
function placeSpread(lens, point, spread) {
  const seen = seenFrom(lens, point);
  if (seen[2] <= NEAR) return null;
  const scale = lens.focal / seen[2];
  const rows = [[lens.right, seen[0]], [lens.up, seen[1]]].map(([axis, offset], sign) =>
    axis.map((value, i) => (sign ? -1 : 1) * scale * (value - offset / seen[2] * lens.forward[i])));
  const [xx, xy, xz, yy, yz, zz] = spread;
  const times = (v) => [xx * v[0] + xy * v[1] + xz * v[2], xy * v[0] + yy * v[1] + yz * v[2], xz * v[0] + yz * v[1] + zz * v[2]];
  const right = times(rows[0]), up = times(rows[1]);
  const a = dot(rows[0], right), b = dot(rows[1], right), c = dot(rows[1], up);
  const half = (a + c) / 2, off = Math.hypot((a - c) / 2, b);
  const axis = (variance) => Math.min(2 * Math.sqrt(Math.max(variance, 0)), 4000);
  const [x, y] = onPanel(lens, seen);
  return {x, y, long: axis(half + off), short: axis(half - off), angle: Math.atan2(2 * b, a - c) / 2};
}

// As near as it can be with all these points on the panel, and these in its middle. The eye keeps its direction.
function fitView(view, points, width, height) {
  for (let round = 0; round < 6; round++) {
    let low = 1, high = 400;
    for (let half = 0; half < 24; half++) {
      const distance = (low + high) / 2;
      if (boundsOf(lensOf({...view, distance}, width, height), points).size < 1) high = distance; else low = distance;
    }
    view.distance = high;
    const lens = lensOf(view, width, height), {middle} = boundsOf(lens, points), scale = view.distance / lens.focal;
    const [dx, dy] = [middle[0] - lens.middle[0], middle[1] - lens.middle[1]];
    view.target = view.target.map((value, i) => value + scale * (dx * lens.right[i] - dy * lens.up[i]));
  }
}

// The middle of what points cover on the panel, and how much of its width or height they take (1: all that
// names over heads and a margin leave free).
function boundsOf(lens, points) {
  const spots = points.map((point) => place(lens, point));
  if (spots.some((spot) => !spot)) return {middle: lens.middle, size: Infinity};
  const [xs, ys] = [0, 1].map((axis) => spots.map((spot) => spot[axis]));
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys) - 36, Math.max(...ys)];
  const size = Math.max((right - left) / (1.8 * lens.middle[0]), (bottom - top) / (1.8 * lens.middle[1]));
  return {middle: [(left + right) / 2, (top + bottom) / 2], size};
}
