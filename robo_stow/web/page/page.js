"use strict";

// Cells by kind: wall, travel, storage, queue, station, hand-off, charger, pallet spot.
const CELLS = ["#ffffff", "#eef1f5", "#cfd8e3", "#fbe6b0", "#e0503c", "#b596e0", "#8fd0f0", "#8ccf9f"];
const STOW = "#2f9a5b";
const POD = "#5f7d9c";
const LOADS = [["#f5821f", "empty unit"], ["#1769aa", "unit with pod"], ["#2a9d4a", "unit with pallet"]];
const BROKEN = "#b3261e";
const STATUS = ["in service", "charging", "stopped", "dead"];

const ROWS = [
  ["Orders received", (f) => f.orders_received],
  ["Orders shipped", (f) => f.orders_shipped],
  ["Order to ship, median", (f) => minutes(f.order_to_ship_minutes.p50)],
  ["Order to ship, p90", (f) => minutes(f.order_to_ship_minutes.p90)],
  ["Order lines picked", (f) => f.lines_picked],
  ["Pieces stowed", (f) => f.units_stowed],
  ["Pallets lifted", (f) => f.pallets_lifted],
  ["Pile-on, pieces per pod", (f) => f.pile_on.toFixed(1)],
  ["Pick stations busy", (f) => percent(f.station_busy)],
  ["Drive units busy", (f) => percent(f.unit_utilisation)],
  ["Bin volume filled", (f) => percent(f.storage_utilisation)],
  ["Conflicts", (f) => f.conflicts],
];
const minutes = (value) => (value === null ? "–" : `${value.toFixed(1)} min`);
const percent = (value) => `${(100 * value).toFixed(0)} %`;
const byId = (id) => document.getElementById(id);

const canvas = byId("floor");
const pen = canvas.getContext("2d");
let floor = null;
let still = null; // what does not move, drawn once
let before = null; // the moment before the last, to draw the way between
let last = null;
let heard = 0; // when the last moment came, ms
let span = 200; // between the last two, ms
let chosen = -1;
const view = { scale: 1, x: 0, y: 0 }; // canvas pixels a metre, and of the floor's corner

function fit() {
  const width = floor.width * floor.pitch, height = floor.height * floor.pitch;
  view.scale = 0.96 * Math.min(canvas.width / width, canvas.height / height);
  view.x = (canvas.width - width * view.scale) / 2;
  view.y = (canvas.height + height * view.scale) / 2;
}

function paintStill() {
  const size = Math.max(2, Math.min(12, Math.floor(6000 / Math.max(floor.width, floor.height))));
  still = document.createElement("canvas");
  still.width = floor.width * size;
  still.height = floor.height * size;
  const paint = still.getContext("2d");
  const cell = (c, colour) => {
    const column = c % floor.width, row = Math.floor(c / floor.width);
    paint.fillStyle = colour;
    paint.fillRect(column * size, (floor.height - 1 - row) * size, size - (size > 4), size - (size > 4));
  };
  for (let c = 0; c < floor.kind.length; c++) cell(c, CELLS[floor.kind[c]]);
  for (const station of floor.stations) if (station.kind === "stow") cell(station.cell, STOW);
}

function square(x, y, side, yaw) {
  pen.save();
  pen.translate(view.x + x * view.scale, view.y - y * view.scale);
  pen.rotate(-yaw);
  const half = (side * view.scale) / 2;
  pen.fillRect(-half, -half, 2 * half, 2 * half);
  pen.restore();
}

// Place of the k-th unit of the last moment, between where it was and where it is.
function place(k, share) {
  let x = last.x[k], y = last.y[k], yaw = last.yaw[k];
  if (before && before.unit.length === last.unit.length) {
    x = before.x[k] + (x - before.x[k]) * share;
    y = before.y[k] + (y - before.y[k]) * share;
    const turn = ((yaw - before.yaw[k] + 540) % 360) - 180;
    yaw = before.yaw[k] + turn * share;
  }
  return [x / 100, y / 100, (yaw * Math.PI) / 180];
}

function draw() {
  requestAnimationFrame(draw);
  if (!floor) return;
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
    fit();
  }
  pen.clearRect(0, 0, width, height);
  pen.imageSmoothingEnabled = false;
  const metres = [floor.width * floor.pitch * view.scale, floor.height * floor.pitch * view.scale];
  pen.drawImage(still, view.x, view.y - metres[1], metres[0], metres[1]);
  if (!last) return;
  pen.fillStyle = POD;
  for (const cell of last.pods) {
    const x = ((cell % floor.width) + 0.5) * floor.pitch;
    const y = (Math.floor(cell / floor.width) + 0.5) * floor.pitch;
    square(x, y, floor.pod_size, 0);
  }
  const share = Math.min(1, (performance.now() - heard) / span);
  for (let k = 0; k < last.unit.length; k++) {
    const [x, y, yaw] = place(k, share);
    if (last.load[k] === 1) {
      pen.fillStyle = POD;
      square(x, y, floor.pod_size, 0);
    }
    pen.fillStyle = last.status[k] > 1 ? BROKEN : LOADS[last.load[k]][0];
    square(x, y, floor.footprint * (last.load[k] === 1 ? 0.7 : 1), yaw);
    pen.fillStyle = "#fff"; // the front
    square(x + 0.3 * floor.footprint * Math.cos(yaw), y + 0.3 * floor.footprint * Math.sin(yaw), 0.12, yaw);
    if (last.unit[k] === chosen) {
      pen.strokeStyle = "#000";
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(view.x + x * view.scale, view.y - y * view.scale, floor.pitch * view.scale, 0, 7);
      pen.stroke();
    }
  }
  pen.fillStyle = "#26323f";
  pen.font = `${12 * ratio}px system-ui, sans-serif`;
  pen.textAlign = "center";
  if (view.scale * floor.pitch > 9 * ratio) {
    for (const site of [...floor.stations, ...floor.lifters]) {
      const x = ((site.cell % floor.width) + 0.5) * floor.pitch;
      const y = (Math.floor(site.cell / floor.width) + 0.5) * floor.pitch;
      pen.fillText(site.id, view.x + x * view.scale, view.y - (y - 0.9 * floor.pitch) * view.scale);
    }
  }
}

function tell() {
  const seconds = Math.floor(last.now);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  byId("clock").textContent = parts.map((part) => String(part).padStart(2, "0")).join(":");
  byId("figures").replaceChildren(
    ...ROWS.map(([label, value]) => {
      const row = document.createElement("tr");
      row.insertCell().textContent = label;
      row.insertCell().textContent = value(last.figures);
      row.classList.toggle("bad", label === "Conflicts" && last.figures.conflicts > 0);
      return row;
    }),
  );
  const items = last.alarms.map((alarm) => {
    const item = document.createElement("li");
    const kind = document.createElement("b");
    kind.textContent = alarm.kind;
    item.append(`${(alarm.stamp / 60).toFixed(1)} min `, kind, ` ${alarm.text}`);
    return item;
  });
  if (!items.length) items.push(Object.assign(document.createElement("li"), { textContent: "none" }));
  byId("alarms").replaceChildren(...items.reverse());
  const k = last.unit.indexOf(chosen);
  byId("unit").hidden = k < 0;
  if (k >= 0) {
    const load = last.load[k] === 1 ? `pod ${last.load_id[k]}` : last.load[k] === 2 ? "a pallet" : "nothing";
    byId("unit").textContent = `${floor.names[chosen]}\n${STATUS[last.status[k]]}, carries ${load}\nbattery ${last.battery[k]} %`;
  }
}

function link(text, state) {
  byId("link").textContent = text;
  byId("link").className = state;
}

function listen() {
  const moments = new EventSource("moments");
  moments.onmessage = (event) => {
    before = last;
    last = JSON.parse(event.data);
    span = Math.min(1000, Math.max(50, performance.now() - heard));
    heard = performance.now();
    link("live", "live");
    tell();
  };
  moments.addEventListener("end", () => {
    moments.close();
    link("the run has ended", "lost");
  });
  moments.onerror = () => link("no connection, trying again …", "lost");
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const ratio = window.devicePixelRatio || 1;
  const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
  if (!drag.moved && Math.hypot(dx, dy) < 4) return;
  view.x += dx * ratio;
  view.y += dy * ratio;
  drag = { x: event.clientX, y: event.clientY, moved: true };
});
canvas.addEventListener("pointerup", (event) => {
  if (drag && !drag.moved && last) choose(event);
  drag = null;
});
canvas.addEventListener("dblclick", fit);
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const ratio = window.devicePixelRatio || 1;
    const factor = Math.exp(-event.deltaY / 500);
    const x = event.offsetX * ratio, y = event.offsetY * ratio;
    view.x = x + (view.x - x) * factor;
    view.y = y + (view.y - y) * factor;
    view.scale *= factor;
  },
  { passive: false },
);

function choose(event) {
  const ratio = window.devicePixelRatio || 1;
  const x = (event.offsetX * ratio - view.x) / view.scale;
  const y = (view.y - event.offsetY * ratio) / view.scale;
  chosen = -1;
  let least = floor.pitch;
  for (let k = 0; k < last.unit.length; k++) {
    const away = Math.hypot(last.x[k] / 100 - x, last.y[k] / 100 - y);
    if (away < least) {
      least = away;
      chosen = last.unit[k];
    }
  }
  tell();
}

async function begin() {
  const answer = await fetch("floor");
  floor = await answer.json();
  byId("title").textContent = `Robo-Stow: ${floor.name}`;
  const entries = [...LOADS, [BROKEN, "stopped or dead"], [POD, "pod"], [CELLS[4], "pick station"], [STOW, "stow station"], [CELLS[5], "hand-off"], [CELLS[6], "charger"]];
  for (const [colour, text] of entries) {
    const sample = document.createElement("i");
    sample.style.background = colour;
    byId("legend").append(sample, text);
  }
  canvas.width = 0; // so that the first frame fits the floor
  paintStill();
  listen();
  draw();
}

begin().catch((error) => link(String(error), "lost"));
