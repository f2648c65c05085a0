// Cameras × days, or the hours of one day: how many minutes are indexed. A cell is a button that chooses its time.
import { ask, build, clamp, inTurns, make } from "./base.js";
import { dayName, instant, number, text, wall } from "./language.js";

const DAYS = 14, NARROW_DAYS = 5, HOURS = 24;

// chosen({camera, after, before, words}): what to show; without any of the three it is everything.
export function coverageMap(chosen) {
  const element = build(`
    <section class="coverage" data-label="browse.map">
      <div class="head"><h2 data-text="browse.map"></h2>
        <span class="steps">
          <button type="button" class="all" data-text="browse.days" hidden></button>
          <button type="button" class="earlier">‹ <span data-text="browse.earlier"></span></button>
          <button type="button" class="later"><span data-text="browse.later"></span> ›</button>
        </span></div>
      <p class="hint" data-text="browse.hint"></p>
      <div class="scroll"><table><thead></thead><tbody></tbody></table></div>
    </section>`);
  const find = (selector) => element.querySelector(selector);
  let cameras = [], covered = new Map(), days = [], from = 0, today = null, picked = "";

  const count = () => (window.innerWidth < 700 ? NARROW_DAYS : DAYS);
  const minutesOf = (camera, day) => covered.get(camera)?.[day] || [];
  const sum = (minutes) => minutes.reduce((total, each) => total + each, 0);

  async function show(given) {
    cameras = given;
    // Which days there may be is known before it is known what of them is indexed; the wall does not wait for that.
    const local = (time, { zone }) => wall(time, zone).slice(0, 10);
    const first = cameras.map((camera) => local(Date.parse(camera.first), camera)).sort()[0];
    days = between(first, cameras.map((camera) => local(Date.parse(camera.last) - 1, camera)).sort().at(-1));
    from = Math.max(0, days.length - count());
    today = days.length === 1 ? days[0] : null;
    const walled = clear();
    await inTurns([...cameras.entries()], async ([place, camera]) => {
      covered.set(camera.name, (await ask(`api/v1/cameras/${encodeURIComponent(camera.name)}/coverage`)).days);
      find("tbody").rows[place].replaceWith(line(camera));
    });
    await walled;
  }

  const columns = () => (today ? Array.from({ length: HOURS }, (_, hour) => hour) : days.slice(from, from + count()));

  function draw() {
    const title = (column) => (today ? String(column).padStart(2, "0") : dayName(column, { day: "numeric", month: "short" }));
    find("thead").replaceChildren(make("tr", {}, make("th", { scope: "col", textContent: today ? dayName(today) : text("browse.camera") }),
      ...columns().map((column) => {
        const name = title(column);
        return make("th", { scope: "col" }, today ? name : make("button", { type: "button", textContent: name, onclick: () => open(column) }));
      })));
    find("tbody").replaceChildren(...cameras.map(line));
    find(".earlier").disabled = today ? days.indexOf(today) === 0 : from === 0;
    find(".later").disabled = today ? days.indexOf(today) === days.length - 1 : from + count() >= days.length;
    find(".all").hidden = !today || days.length === 1;
  }

  function line(camera) {
    return make("tr", {}, make("th", { scope: "row", textContent: camera.name, title: `${camera.name}, ${camera.zone}` }),
      ...columns().map((column) => make("td", {}, cell(camera, column))));
  }

  function cell(camera, column) {
    const minutes = today ? minutesOf(camera.name, today)[column] || 0 : sum(minutesOf(camera.name, column));
    const share = minutes / (today ? 60 : 1440);
    const when = today ? `${dayName(today)}, ${String(column).padStart(2, "0")}:00 – ${String(column + 1).padStart(2, "0")}:00` : dayName(column);
    const words = text("browse.cell", { camera: camera.name, when, minutes: number(Math.ceil(minutes)) });
    const button = make("button", { type: "button", className: "cell", title: words, "aria-label": words, disabled: minutes === 0 });
    // Even a minute is seen.
    if (minutes) button.style.setProperty("--full", `${Math.round(22 + 78 * clamp(share, 0, 1))}%`);
    const id = `${camera.name} ${today} ${column}`;
    button.setAttribute("aria-pressed", String(id === picked));
    button.addEventListener("click", () => {
      picked = id;
      const [day, hour] = today ? [today, column] : [column, null];
      choose(camera, day, hour, text("browse.where", { camera: camera.name, when }));
      if (!today) open(column);
      else draw();
    });
    return button;
  }

  // The time of a day, or of an hour of it, on the camera's clock.
  function choose(camera, day, hour, words) {
    const zone = (camera || cameras[0]).zone;
    const local = `${day}T${String(hour ?? 0).padStart(2, "0")}:00:00`;
    const after = instant(local, zone);
    const before = hour === null ? instant(`${nextDay(day)}T00:00:00`, zone) : after + 3_600_000;
    chosen({ camera: camera?.name, after: new Date(after).toISOString(), before: new Date(before).toISOString(), words });
  }

  function open(day) {
    today = day;
    draw();
  }

  function clear() {
    picked = "";
    draw();
    return chosen({ words: text("browse.all") });
  }

  function step(by) {
    if (today) open(days[clamp(days.indexOf(today) + by, 0, days.length - 1)]);
    else {
      from = clamp(from + by * count(), 0, Math.max(0, days.length - count()));
      draw();
    }
  }
  find(".earlier").addEventListener("click", () => step(-1));
  find(".later").addEventListener("click", () => step(1));
  find(".all").addEventListener("click", () => open(null));
  return { element, show, clear };
}

// All days from the first to the last: one without a recording is a gap to be seen.
function between(first, last) {
  const all = [first];
  while (all.at(-1) < last) all.push(nextDay(all.at(-1)));
  return all;
}

function nextDay(day) {
  return new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
}
