// The picture panel: keypoints over the video's frame, or over an empty frame of its size.

const images = new Map();  // decoded pictures, the last few
const KEPT = 48;

function pictureAt(frame, ready) {
  const every = data.pictures.every, count = data.pictures.data.length;
  const index = Math.min(Math.floor(frame / every), count - 1);
  for (let ahead = 0; ahead < 4; ahead++) {
    const wanted = (index + ahead) % count;
    if (images.has(wanted)) continue;
    const image = new Image();
    image.onload = ready;
    image.src = "data:image/jpeg;base64," + data.pictures.data[wanted];
    images.set(wanted, image);
    if (images.size > KEPT) images.delete(images.keys().next().value);
  }
  const image = images.get(index);
  // While one is decoded the one before stands in.
  if (image && image.complete && image.naturalWidth) return pictureAt.last = image;
  return pictureAt.last;
}

function drawPicture(ctx, width, height, state, colors, ready) {
  const {frame} = state, [full, tall] = data.size, margin = 8;
  ctx.clearRect(0, 0, width, height);
  const scale = Math.min((width - 2 * margin) / full, (height - 2 * margin) / tall);
  const left = (width - scale * full) / 2, top = (height - scale * tall) / 2;
  ctx.fillStyle = colors.film;
  ctx.fillRect(left, top, scale * full, scale * tall);
  const image = data.pictures && pictureAt(frame, ready);
  if (image) {
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(image, left, top, scale * full, scale * tall);
  }
  const spots = [];
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, scale * full, scale * tall);
  ctx.clip();
  const put = (pixel) => pixel && [left + scale * pixel[0], top + scale * pixel[1]];
  const unit = Math.max(1, Math.min(scale * full, scale * tall) / 330);
  for (let person = 0; person < people; person++) {
    const places = [], hidden = [];
    for (let i = 0; i < joints; i++) {
      hidden.push(isHidden(person, frame, i));
      places.push(put(pixelOf(hidden[i] ? data.projected : data.keypoints, person, frame, i)));
      if (places[i]) spots.push({person, x: places[i][0], y: places[i][1]});
    }
    if (state.lifted) {
      ctx.strokeStyle = colors.people[person];
      ctx.lineWidth = 5 * unit;
      ctx.globalAlpha = 0.4;
      ctx.lineCap = "round";
      ctx.beginPath();
      for (const [a, b] of data.bones) {
        const ends = [a, b].map((i) => put(pixelOf(data.projected, person, frame, i)));
        if (ends[0] && ends[1]) line(ctx, ends);
      }
      ctx.stroke();
      ctx.globalAlpha = 1;
    }
    drawFigure(ctx, places, hidden, colors.people[person], unit, image ? "#ffffff" : colors.film);
  }
  ctx.restore();
  ctx.strokeStyle = colors.line;
  ctx.lineWidth = 1;
  ctx.strokeRect(left - 0.5, top - 0.5, scale * full + 1, scale * tall + 1);
  return spots;
}

function drawFigure(ctx, places, hidden, color, unit, rim) {
  ctx.lineCap = "round";
  for (const [a, b] of data.bones) {
    if (!places[a] || !places[b]) continue;
    const unsure = hidden[a] || hidden[b];
    ctx.setLineDash(unsure ? [3 * unit, 3 * unit] : []);
    for (const [stroke, width] of [[rim, 2], [color, 0]]) {
      ctx.globalAlpha = width ? 0.45 : 1;
      ctx.strokeStyle = stroke;
      ctx.lineWidth = (unsure ? 1.1 : 2) * unit + width * 0.7;
      ctx.beginPath();
      line(ctx, [places[a], places[b]]);
      ctx.stroke();
    }
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
  places.forEach((spot, i) => {
    if (!spot) return;
    ctx.beginPath();
    ctx.arc(spot[0], spot[1], (hidden[i] ? 3 : 2.6) * unit, 0, 2 * Math.PI);
    ctx.fillStyle = hidden[i] ? rim : color;
    ctx.strokeStyle = hidden[i] ? color : rim;
    ctx.lineWidth = (hidden[i] ? 1.4 : 0.7) * unit;
    ctx.fill();
    ctx.stroke();
  });
}
