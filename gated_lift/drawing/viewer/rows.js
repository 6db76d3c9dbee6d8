// One timeline a person: the share of joints hidden (filled), the residual (line), and presence (bar).

const BAR = 3;  // pixels, of presence

function median(values) {
  const known = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  return known.length ? known[known.length >> 1] : NaN;
}

// Residuals up to here are drawn to scale; the few beyond touch the top.
function residualTop() {
  const known = data.residual.filter((value) => !Number.isNaN(value)).sort();
  return known.length ? Math.max(5, 1.2 * known[Math.floor(0.98 * (known.length - 1))]) : 10;
}

function makeRows(parent, follow) {
  return data.people.map((facts, person) => {
    const row = document.createElement("div"), button = document.createElement("button"), canvas = document.createElement("canvas");
    const residuals = data.residual.subarray(at(person, 0), at(person, frames)), middle = median(residuals);
    const there = data.present.subarray(at(person, 0), at(person, frames)).reduce((sum, bit) => sum + bit, 0);
    row.className = "row";
    button.type = "button";
    button.className = facts.good ? "person" : "person bad";
    button.title = `Follow ${facts.name}. ${facts.status}: ${facts.advice}`;
    button.setAttribute("aria-pressed", "false");
    for (const name of ["chip", "name", "said"]) button.append(Object.assign(document.createElement("span"), {className: name}));
    button.children[1].textContent = facts.name;
    const said = [facts.status];
    if (facts.tall) said.push(facts.tall);
    if (!Number.isNaN(middle)) said.push(`${middle.toFixed(1)} px`);
    if (there < frames) said.push(`${Math.round(100 * there / frames)} % present`);
    button.children[2].textContent = said.join(" · ");
    button.addEventListener("click", () => follow(person));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `timeline of ${facts.name}`);
    row.append(button, canvas);
    parent.append(row);
    return {row, button, canvas};
  });
}

function drawRow(ctx, width, height, person, top, color, colors) {
  const middleOf = (frame) => (data.times[frame] + spacing / 2) / length * width;
  const columns = Math.max(1, Math.round(width)), floor = height - BAR - 5, ceiling = 5;
  const rise = (share) => floor - share * (floor - ceiling);
  ctx.clearRect(0, 0, width, height);
  ctx.strokeStyle = colors.line;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (const share of [0, 1]) { ctx.moveTo(0, Math.round(rise(share)) + 0.5); ctx.lineTo(width, Math.round(rise(share)) + 0.5); }
  ctx.stroke();
  // Columns of pixels, each with the most hidden and the worst frame of it, so that short events stay.
  const hidden = new Float32Array(columns).fill(NaN), residual = new Float32Array(columns).fill(NaN), there = new Uint8Array(columns);
  for (let frame = 0; frame < frames; frame++) {
    const end = frame + 1 < frames ? data.times[frame + 1] : length;
    const first = Math.floor(data.times[frame] / length * columns);
    const last = Math.min(columns - 1, Math.max(first, Math.ceil(end / length * columns) - 1));
    const share = shareHidden(person, frame), value = data.residual[at(person, frame)], present = data.present[at(person, frame)];
    for (let column = first; column <= last; column++) {
      there[column] |= present;
      if (present && !(share <= hidden[column])) hidden[column] = share;
      if (!Number.isNaN(value) && !(value <= residual[column])) residual[column] = value;
    }
  }
  ctx.fillStyle = color;
  for (let column = 0; column < columns; column++) {
    if (there[column]) ctx.fillRect(column, height - BAR - 1, 1.02, BAR);
  }
  ctx.globalAlpha = colors.dark ? 0.5 : 0.38;
  for (let column = 0; column < columns; column++) {
    if (hidden[column] > 0) ctx.fillRect(column, rise(hidden[column]), 1.02, floor - rise(hidden[column]));
  }
  ctx.globalAlpha = 1;
  ctx.strokeStyle = colors.ink;
  ctx.lineWidth = 1.1;
  ctx.lineJoin = "round";
  ctx.beginPath();
  let drawing = false;
  const add = (x, value) => {
    const known = !Number.isNaN(value), y = rise(Math.min(value / top, 1));
    if (known) { if (drawing) ctx.lineTo(x, y); else { ctx.moveTo(x - 0.5, y); ctx.lineTo(x, y); } }
    drawing = known;
  };
  // A point a frame where there is room for it.
  if (frames <= columns) for (let frame = 0; frame < frames; frame++) add(middleOf(frame), data.residual[at(person, frame)]);
  else residual.forEach((value, column) => add(column + 0.5, value));
  ctx.stroke();
}

function drawAxis(ctx, width, height, colors) {
  ctx.clearRect(0, 0, width, height);
  const wanted = length / Math.max(2, width / 90);
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((size) => size >= wanted) || 7200;
  ctx.font = "11px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  ctx.fillStyle = colors.soft;
  ctx.strokeStyle = colors.line;
  ctx.beginPath();
  for (let i = 0; i * step <= length; i++) {
    const x = i * step / length * width, text = clockText(i * step, step < 1 ? 1 : 0);
    ctx.moveTo(x + 0.5, 0);
    ctx.lineTo(x + 0.5, 4);
    const half = ctx.measureText(text).width / 2;
    ctx.textAlign = "left";
    ctx.fillText(text, Math.max(0, Math.min(width - 2 * half, x - half)), 13);
  }
  ctx.stroke();
}

function clockText(seconds, digits) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes}:${(seconds - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}` : `${seconds.toFixed(digits)} s`;
}
