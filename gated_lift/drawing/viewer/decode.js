"use strict";
// What the page is given: facts as JSON, arrays as base64 of little-endian numbers in NumPy's order.

const NUMBERS = {int16: Int16Array, uint8: Uint8Array, float32: Float32Array, float64: Float64Array};
const NOTHING = -32768;

function decode(packed) {
  if (!packed) return null;
  const text = atob(packed.data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const numbers = new NUMBERS[packed.type](bytes.buffer);
  if (!packed.step) return numbers;
  return Float32Array.from(numbers, (count) => (count === NOTHING ? NaN : count * packed.step));
}

const data = JSON.parse(document.getElementById("data").textContent);
const ARRAYS = ["times", "root", "joints", "covariance", "keypoints", "projected", "hidden", "present", "residual", "eye", "rays"];
for (const name of ARRAYS) data[name] = decode(data[name]);

const people = data.people.length, frames = data.times.length, joints = data.joint_names.length;
const start = data.times[0], spacing = data.step / data.fps;
const length = data.times[frames - 1] - start + spacing;
data.times = data.times.map((time) => time - start);

// Places of values in the arrays.
const at = (person, frame) => person * frames + frame;
const joint = (person, frame, index) => at(person, frame) * joints + index;

function rootOf(person, frame) {
  const i = 3 * at(person, frame);
  return Number.isNaN(data.root[i]) ? null : [data.root[i], data.root[i + 1], data.root[i + 2]];
}

function jointOf(person, frame, index) {
  const i = 3 * joint(person, frame, index), r = 3 * at(person, frame);
  const x = data.root[r] + data.joints[i];
  return Number.isNaN(x) ? null : [x, data.root[r + 1] + data.joints[i + 1], data.root[r + 2] + data.joints[i + 2]];
}

// The covariance of a root as xx, xy, xz, yy, yz, zz.
function spreadOf(person, frame) {
  if (!data.covariance) return null;
  const i = 6 * at(person, frame);
  return Number.isNaN(data.covariance[i]) ? null : data.covariance.subarray(i, i + 6);
}

function pixelOf(array, person, frame, index) {
  const i = 2 * joint(person, frame, index);
  return Number.isNaN(array[i]) ? null : [array[i], array[i + 1]];
}

const isHidden = (person, frame, index) => data.hidden[joint(person, frame, index)] === 1;

// A camera that never changes has one row.
function cameraOf(frame) {
  const row = data.eye.length > 3 ? frame : 0;
  const rays = [0, 1, 2, 3].map((corner) => Array.from(data.rays.subarray(12 * row + 3 * corner, 12 * row + 3 * corner + 3)));
  return {eye: Array.from(data.eye.subarray(3 * row, 3 * row + 3)), rays};
}

function shareHidden(person, frame) {
  const from = joint(person, frame, 0);
  let count = 0;
  for (let i = from; i < from + joints; i++) count += data.hidden[i];
  return count / joints;
}

// The last frame that has begun by then.
function frameAt(time) {
  let low = 0, high = frames - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (data.times[middle] <= time + 1e-9) low = middle; else high = middle - 1;
  }
  return low;
}
