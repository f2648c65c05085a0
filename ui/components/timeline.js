// Cameras × time: a bar for each hit, coloured by how likely it is; what is confirmed is joined in time order. Dragging
// chooses a period.
import { build, clamp } from "./base.js";
import { ahead, clock, day, minutes, shortDay, text } from "./language.js";

const ROW = 38, AXIS = 30, BAR = 20, LEAST = 4, DRAG = 6; // pixels; LEAST: of a bar's width
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

export function timeline({ open, period }) {
  const element = build(`
    <section class="timeline" data-label="timeline.label">
      <p class="hint" data-text="timeline.hint"></p>
      <div class="plane">
        <canvas tabindex="0" role="img"></canvas>
        <div class="peek" hidden><img alt=""><span></span></div>
      </div>
    </section>`);
  const canvas = element.querySelector("canvas"), plane = element.querySelector(".plane"), peek = element.querySelector(".peek");
  let data = { hits: [], confirmed: [], cameras: [], from: 0, to: 1, zone: "UTC" };
  let bars = [], drag = null, at = -1;

  const left = () => (plane.clientWidth < 560 ? 84 : 140);
  const width = () => Math.max(plane.clientWidth - left() - 8, 1);
  const x = (time) => left() + ((time - data.from) / (data.to - data.from)) * width();
  const time = (where) => data.from + clamp((where - left()) / width(), 0, 1) * (data.to - data.from);

  function show(given) {
    const times = given.hits.concat(given.confirmed).flatMap((hit) => [Date.parse(hit.start), Date.parse(hit.end)]);
    data = { ...given, from: Math.min(given.from, ...times), to: Math.max(given.to, ...times) };
    if (!(data.to > data.from)) data.to = data.from + 1000;
    at = -1;
    canvas.setAttribute("aria-label", text("timeline.said", { count: data.hits.length, cameras: data.cameras.length }));
    draw();
  }

  function draw() {
    const sharp = window.devicePixelRatio || 1, style = getComputedStyle(element);
    const high = AXIS + ROW * data.cameras.length + 6, wide = plane.clientWidth;
    if (!wide) return;
    Object.assign(canvas, { width: wide * sharp, height: high * sharp });
    Object.assign(canvas.style, { width: `${wide}px`, height: `${high}px` });
    const pen = canvas.getContext("2d");
    pen.scale(sharp, sharp);
    const colour = (name) => style.getPropertyValue(name).trim();
    const ink = colour("--body-text-color"), pale = colour("--body-text-color-subdued"), line = colour("--border-color-primary");
    pen.font = `13px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    const rows = new Map(data.cameras.map((camera, row) => [camera.name, AXIS + ROW * row]));
    for (const camera of data.cameras) {
      const top = rows.get(camera.name);
      pen.fillStyle = colour("--background-fill-secondary");
      const start = clamp(x(Date.parse(camera.first)), left(), left() + width()), end = clamp(x(Date.parse(camera.last)), left(), left() + width());
      pen.fillRect(start, top + (ROW - BAR) / 2 - 3, Math.max(end - start, 1), BAR + 6);
      pen.fillStyle = ink;
      pen.fillText(shortened(pen, camera.name, left() - 12), 2, top + ROW / 2);
    }
    axis(pen, pale, line, high);
    bars = [];
    const worst = data.hits.length, likely = colour("--likely"), unlikely = colour("--unlikely");
    for (const hit of [...data.hits].reverse()) {
      const share = hit.p ?? 1 - (hit.rank - 1) / Math.max(worst, 1);
      bar(pen, rows, hit, `color-mix(in oklab, ${likely} ${Math.round(15 + 85 * share)}%, ${unlikely})`);
    }
    bars.reverse();
    if (data.confirmed.length) path(pen, rows, colour("--confirmed"));
    if (at >= 0) {
      const { hit } = bars[at] ?? {};
      if (hit) outline(pen, bars[at], ink);
    }
    if (drag?.moved) {
      pen.fillStyle = `color-mix(in srgb, ${colour("--color-accent")} 22%, transparent)`;
      pen.fillRect(Math.min(drag.from, drag.to), 0, Math.abs(drag.to - drag.from), high);
    }
  }

  function bar(pen, rows, hit, fill) {
    const top = rows.get(hit.camera);
    if (top === undefined) return;
    const start = x(Date.parse(hit.start)), size = Math.max(x(Date.parse(hit.end)) - start, LEAST);
    pen.fillStyle = fill;
    pen.beginPath();
    pen.roundRect(start, top + (ROW - BAR) / 2, size, BAR, 2);
    pen.fill();
    bars.push({ hit, left: start, right: start + size, top: top + (ROW - BAR) / 2 });
  }

  function path(pen, rows, colour) {
    const points = data.confirmed.filter((hit) => rows.has(hit.camera)).map((hit) => [x(Date.parse(hit.start)), rows.get(hit.camera) + ROW / 2]);
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 2.5;
    pen.lineJoin = "round";
    pen.beginPath();
    for (const [place, point] of points.entries()) pen[place ? "lineTo" : "moveTo"](...point);
    pen.stroke();
    for (const [number, [px, py]] of points.entries()) {
      pen.beginPath();
      pen.arc(px, py, 9, 0, 7);
      pen.fill();
      pen.fillStyle = "#fff";
      pen.textAlign = "center";
      pen.font = `600 11px ${getComputedStyle(element).fontFamily}`;
      pen.fillText(number + 1, px, py + 0.5);
      pen.textAlign = "left";
      pen.fillStyle = colour;
    }
    for (const hit of data.confirmed) {
      const top = rows.get(hit.camera), middle = x(Date.parse(hit.start));
      if (top !== undefined) bars.unshift({ hit, left: middle - 9, right: middle + 9, top: top + (ROW - BAR) / 2, confirmed: true });
    }
  }

  function outline(pen, { left: start, right, top }, ink) {
    pen.strokeStyle = ink;
    pen.lineWidth = 2;
    pen.strokeRect(start - 2, top - 2, right - start + 4, BAR + 4);
  }

  function axis(pen, pale, line, high) {
    const seconds = (data.to - data.from) / 1000, most = Math.max(2, Math.floor(width() / 90));
    const step = 1000 * (STEPS.find((each) => seconds / each <= most) || Math.ceil(seconds / most / 604800) * 604800);
    // Marks lie on full steps of the zone's clock.
    const shift = ahead(data.from, data.zone);
    pen.fillStyle = pale;
    pen.strokeStyle = line;
    pen.lineWidth = 1;
    pen.font = `12px ${getComputedStyle(element).fontFamily}`;
    let before = "", free = 0; // of labels, from here on
    for (let mark = Math.ceil((data.from + shift) / step) * step - shift; mark <= data.to; mark += step) {
      const at = Math.round(x(mark)) + 0.5;
      pen.beginPath();
      pen.moveTo(at, AXIS - 6);
      pen.lineTo(at, high);
      pen.stroke();
      const today = shortDay(mark, data.zone);
      const words = step >= 86400000 ? today : step < 60000 ? clock(mark, data.zone) : minutes(mark, data.zone);
      const label = step < 86400000 && today !== before && step >= 3600000 ? today : words;
      const wide = pen.measureText(label).width, middle = Math.min(at, left() + width() - wide / 2);
      if (middle - wide / 2 >= free) {
        pen.textAlign = "center";
        pen.fillText(label, middle, 12);
        free = middle + wide / 2 + 10;
      }
      before = today;
    }
    pen.textAlign = "left";
    pen.font = `13px ${getComputedStyle(element).fontFamily}`;
  }

  const over = (event) => {
    const { left: x0, top: y0 } = canvas.getBoundingClientRect(), px = event.clientX - x0, py = event.clientY - y0;
    return bars.findIndex((bar) => px >= bar.left - 2 && px <= bar.right + 2 && py >= bar.top - 4 && py <= bar.top + BAR + 4);
  };

  function look(index) {
    if (index === at) return;
    at = index;
    peek.hidden = at < 0;
    if (at >= 0) {
      const { hit, left: start, top } = bars[at];
      peek.firstChild.src = hit.crop ?? "";
      const worth = hit.p === null ? text("hits.rank", { rank: hit.rank }) : text("timeline.likely", { percent: Math.round(100 * hit.p) });
      peek.lastChild.textContent = `${hit.camera} · ${day(hit.start, hit.zone)} ${clock(hit.start, hit.zone)} · ${worth}`;
      peek.style.left = `${clamp(start, 0, plane.clientWidth - 190)}px`;
      peek.style.top = `${top + BAR + 10}px`;
    }
    draw();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const where = clamp(event.clientX - canvas.getBoundingClientRect().left, left(), left() + width());
    drag = { from: where, to: where, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return look(over(event));
    drag.to = clamp(event.clientX - canvas.getBoundingClientRect().left, left(), left() + width());
    drag.moved ||= Math.abs(drag.to - drag.from) >= DRAG;
    if (drag.moved) {
      look(-1);
      draw();
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    const done = drag;
    drag = null;
    if (done?.moved) {
      const [from, to] = [time(Math.min(done.from, done.to)), time(Math.max(done.from, done.to))];
      period(new Date(Math.floor(from / 1000) * 1000).toISOString(), new Date(Math.ceil(to / 1000) * 1000).toISOString());
    } else if (done) {
      const index = over(event);
      if (index >= 0) open(bars[index].hit);
    }
    draw();
  });
  canvas.addEventListener("pointercancel", () => {
    drag = null;
    draw();
  });
  canvas.addEventListener("pointerleave", () => !drag && look(-1));
  canvas.addEventListener("blur", () => look(-1));
  canvas.addEventListener("keydown", (event) => {
    const order = bars.map((_, index) => index).sort((a, b) => Date.parse(bars[a].hit.start) - Date.parse(bars[b].hit.start));
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && order.length) {
      event.preventDefault();
      look(order[clamp(order.indexOf(at) + step, 0, order.length - 1)]);
    } else if (event.key === "Enter" && at >= 0) open(bars[at].hit);
  });
  new ResizeObserver(draw).observe(plane);
  new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });

  return { element, show };
}

function shortened(pen, words, width) {
  if (pen.measureText(words).width <= width) return words;
  let size = words.length;
  while (size > 1 && pen.measureText(`${words.slice(0, size)}…`).width > width) size -= 1;
  return `${words.slice(0, size)}…`;
}
