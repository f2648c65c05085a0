// Indexing: a folder of recordings goes into the gallery. How its files would be understood is seen as one types.
import { ask, build, link, make, remember, remembered } from "../components/base.js";
import { frame } from "../components/frame.js";
import { isOver, jobList, parts, timeLeft } from "../components/jobs.js";
import { bytes, clock, day, duration, number, span, text, zoneName } from "../components/language.js";

const SOON_MS = 350; // after the last key, until the template is tried
const FILES = 100;   // of a folder that are listed; as many may be opened
const CAMERAS = 24;
const SAMPLINGS = ["2fps", "1fps", "0.5fps", "5fps", "keyframes", "motion", "all"];
const KINDS = ["videos", "stills", "crops"];
const FIELDS = ["folder", "template", "zone", "sampling", "take", "detector"];
const PARTS = ["camera", "start", "any", "ext"]; // of a template

export async function start(element, about) {
  frame(element, "indexing", about);
  const page = build(`
    <main class="indexing">
      <div class="summary"><h1 data-text="indexing.title"></h1></div>
      <p class="problem" role="alert"></p>
      <div class="work">
        <form class="side" autocomplete="off">
          <label class="field"><span data-text="indexing.folder"></span>
            <input type="text" name="folder" required maxlength="4000" spellcheck="false" list="known-folders" data-placeholder="indexing.folderHint">
            <span class="hint limits"></span></label>
          <label class="field"><span data-text="indexing.template"></span>
            <input type="text" name="template" maxlength="500" spellcheck="false" list="known-recorders" data-placeholder="indexing.guessed">
            <span class="hint fields-hint"></span></label>
          <label class="field"><span data-text="indexing.zone"></span>
            <input type="text" name="zone" maxlength="64" spellcheck="false" list="known-zones">
            <span class="hint" data-text="indexing.zoneHint"></span></label>
          <label class="field"><span data-text="indexing.sampling"></span><select name="sampling"></select></label>
          <details class="more"><summary data-text="search.more"></summary>
            <label class="field"><span data-text="indexing.take"></span><select name="take"></select></label>
            <label class="field"><span data-text="indexing.detector"></span><select name="detector"></select></label>
          </details>
          <p class="problem refused" role="alert"></p>
          <div class="go"><button class="primary" data-text="indexing.go"></button></div>
          <datalist id="known-folders"></datalist><datalist id="known-recorders"></datalist><datalist id="known-zones"></datalist>
        </form>
        <div class="results">
          <p class="told start" data-text="indexing.start"></p>
          <section class="panel trial" hidden>
            <div class="head"><h2 data-text="trial.title"></h2>
              <label class="tick"><input type="checkbox" class="probe"><span data-text="trial.probe"></span></label></div>
            <p class="told" role="status"></p>
            <p class="problem" role="alert"></p>
            <p class="told like"></p>
            <div class="found"></div>
          </section>
        </div>
      </div>
    </main>`);
  element.append(page);
  const find = (selector) => page.querySelector(selector);
  const problem = find(".problem"), form = find("form"), trial = find(".trial"), probe = find(".probe"), begin = find(".start");
  const field = (name) => form.elements[name];
  let disk = null, sizes = null;

  const list = jobList({
    kinds: ["index"],
    title: (job) => parts(job.asked.folder, job.asked.sampling, job.asked.template),
    far,
    came,
    again: (job) => job.result?.skipped.length > 0,
    changed: tellDisk,
    over(job) {
      weigh();
      if (job.asked.folder === wanted().folder && !probe.checked) tryIt(); // opening many files again takes long
    },
  });
  const storage = build(`<section class="panel disk" hidden><h2 data-text="disk.title"></h2><dl class="terms"></dl><p class="problem"></p></section>`);
  find(".results").append(list.element, storage);

  // --- What is asked for.
  function wanted() {
    const filled = FIELDS.map((name) => [name, field(name).value.trim()]).filter(([, value]) => value);
    return Object.fromEntries(filled);
  }

  function footage() {
    const { sampling, detector, ...said } = wanted();
    return said;
  }

  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
    event.preventDefault(); // a key must not begin what takes hours
    tryIt();
  });
  form.addEventListener("change", () => {
    remember("indexing", wanted());
    tryIt();
  });
  field("template").addEventListener("input", soon);
  field("folder").addEventListener("paste", soon);
  probe.addEventListener("change", tryIt);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    find(".refused").textContent = "";
    try {
      await list.begin({ kind: "index", ...wanted() });
      list.element.scrollIntoView({ block: "nearest" });
    } catch (error) {
      find(".refused").textContent = plain(error.message);
    }
  });

  // --- How the files would be understood: one trial at a time, as a large folder takes the server a few seconds.
  let later = 0, trying = false, stale = false;

  function soon() {
    clearTimeout(later);
    later = setTimeout(tryIt, SOON_MS);
  }

  async function tryIt() {
    clearTimeout(later);
    stale = true;
    if (trying) return;
    trying = true;
    while (stale) {
      stale = false;
      await look();
    }
    trying = false;
  }

  async function look() {
    const asked = footage(), template = asked.template ?? "";
    if (!asked.folder) {
      trial.hidden = true;
      return rest();
    }
    if (template.split("{").length !== template.split("}").length) return undefined; // a field is being typed
    trial.setAttribute("aria-busy", "true");
    const [told, wrong] = [trial.querySelector(".told"), trial.querySelector(".problem")];
    try {
      const plan = await ask("api/v1/footage-plans", { json: { ...asked, limit: FILES, probe: probe.checked } });
      wrong.textContent = "";
      told.textContent = counted(plan);
      sizes = asked.take === "videos" ? plan.new_bytes : null;
      like(plan.recorders);
      trial.querySelector(".found").replaceChildren(...found(plan));
    } catch (error) {
      wrong.textContent = plain(error.message);
      told.textContent = "";
      sizes = null;
      like([]);
      trial.querySelector(".found").replaceChildren();
    }
    trial.removeAttribute("aria-busy");
    trial.hidden = false;
    tellDisk();
    return rest();
  }

  // Errors name options as a command has them.
  const plain = (message) => message.replace(`--template ${field("template").value.trim()}: `, "").replace(/^--[a-z]+: /, "");

  function counted({ files, bytes: size, indexed, deleted, left_out, plan }) {
    const lines = [text("trial.files", { number: number(files), size: bytes(size), cameras: plan.cameras.length })];
    if (indexed) lines.push(indexed === files ? text("trial.allIndexed") : text("trial.indexed", { number: number(indexed) }));
    if (deleted) lines.push(text("trial.deleted", { number: number(deleted) }));
    if (left_out) lines.push(text("trial.leftOut", { number: number(left_out) }));
    return lines.join(" ");
  }

  function like(recorders) {
    const use = (name) => make("button", { type: "button", className: "quiet", textContent: name, onclick: () => {
      field("template").value = name;
      field("template").dispatchEvent(new Event("change", { bubbles: true }));
    } });
    trial.querySelector(".like").replaceChildren(...(recorders.length ? [make("span", { textContent: text("trial.like") }), ...recorders.map(use)] : []));
  }

  function found({ files, left_out, plan }) {
    const of = (count, all) => (count < all ? text("trial.first", { count: number(count), of: number(all) }) : "");
    const bad = [...plan.incomplete, ...plan.skipped], nodes = [];
    if (plan.cameras.length) nodes.push(make("ul", { className: "found-cameras" }, ...plan.cameras.slice(0, CAMERAS).map(camera),
      plan.cameras.length > CAMERAS ? make("li", { textContent: text("trial.moreCameras", { count: plan.cameras.length - CAMERAS }) }) : null));
    if (bad.length) nodes.push(
      table(["trial.file", "trial.why"], bad.map(({ file, reason }) => [file, reason]), "bad"),
      make("p", { className: "hint", textContent: of(plan.skipped.length, left_out) }));
    if (plan.files.length) nodes.push(
      table(["trial.file", "trial.camera", "trial.start"], plan.files.map((file) => [named(file), file.camera, [...when(file)]])),
      make("p", { className: "hint", textContent: of(plan.files.length, files) }));
    return nodes;
  }

  function camera({ name, zone, files, first, last }) {
    const times = first ? `${day(first, zone)}, ${span(first, last, zone)}, ${zone}` : text("trial.noTimes");
    return make("li", {}, make("strong", { textContent: name }),
      make("span", { textContent: text("trial.cameraFiles", { number: number(files) }) }), make("span", { textContent: times }));
  }

  const named = ({ file, known }) => (known ? [make("span", { textContent: file }), make("small", { textContent: text(`known.${known}`) })] : file);

  function* when({ start, zone, uncertain, start_source, duration_s, width, height, codec }) {
    yield make("span", { textContent: start ? `${day(start, zone)}, ${clock(start, zone)} ${zoneName(start, zone)}` : "–" });
    if (codec) yield make("small", { textContent: parts(duration_s ? duration(duration_s) : "", `${width}×${height}`, codec) });
    if (uncertain) yield make("small", { textContent: uncertain });
    else if (start_source === "name") yield make("small", { textContent: text("trial.guessed") });
  }

  // --- What runs.
  const amount = (job, value) => (job.asked.take === "videos" ? duration(value) : number(Math.round(value)));

  function far(job) {
    if (!job.total) return text("indexing.opens");
    const speed = job.per_second && speedOf(job, job.per_second);
    return parts(text("indexing.done", { done: amount(job, job.done), of: amount(job, job.total) }), speed, timeLeft(job), job.text);
  }

  const speedOf = (job, rate) => text(job.asked.take === "videos" ? "indexing.speed" : "indexing.pictures", { speed: number(Number(rate.toPrecision(2))) });

  function came(job) {
    const { videos, tracklets, crops, unchanged, video_s, notes, skipped, incomplete } = job.result;
    const lines = [text("indexing.result", { number: number(videos), tracklets: number(tracklets), crops: number(crops) })];
    if (video_s && job.seconds) lines.push(speedOf(job, video_s / job.seconds));
    if (unchanged) lines.push(text("indexing.unchanged", { number: number(unchanged) }));
    const bad = [...incomplete, ...skipped].map(({ file, reason }) => [file, reason]);
    return [
      make("p", { textContent: parts(...lines) }),
      ...notes.map((note) => make("p", { className: "hint", textContent: note })),
      ...(bad.length ? [table(["trial.file", "trial.why"], bad, "bad")] : []),
      ...(tracklets ? [make("a", { className: "quiet", href: link(about.pages.browse), textContent: text("indexing.browse") })] : []),
    ];
  }

  // --- The disk.
  async function weigh() {
    try {
      disk = await ask("api/v1/storage");
      tellDisk();
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  function tellDisk() {
    rest();
    if (!disk) return;
    const { bytes: taken, free, per_hour: hourly, footage_s, footage_bytes } = disk;
    const queued = list.jobs.filter((job) => !isOver(job) && job.asked.take === "videos").reduce((sum, job) => sum + job.total - job.done, 0);
    const tried = sizes && footage_bytes ? (sizes * footage_s) / footage_bytes : 0;
    const will = (seconds) => (seconds / 3600) * hourly;
    const lines = [["disk.gallery", `${bytes(sum(taken))} (${Object.entries(taken).map(([part, size]) => `${text(`part.${part}`)} ${bytes(size)}`).join(", ")})`],
      ["disk.hour", hourly === null ? text("disk.unknown") : bytes(hourly)]];
    if (hourly !== null && queued) lines.push(["disk.queued", text("disk.will", { time: duration(queued), size: bytes(will(queued)) })]);
    if (hourly !== null && tried) lines.push(["disk.tried", text("disk.will", { time: duration(tried), size: bytes(will(tried)) })]);
    lines.push(["disk.free", bytes(free)]);
    storage.querySelector("dl").replaceChildren(...lines.flatMap(([key, words]) => [make("dt", { textContent: text(key) }), make("dd", { textContent: words })]));
    storage.querySelector(".problem").textContent = hourly !== null && will(queued + tried) > free ? text("disk.full") : "";
    storage.hidden = false;
  }

  const rest = () => (begin.hidden = !trial.hidden || !list.element.hidden);

  // --- The beginning.
  const choice = (name, values, words = (value) => value) =>
    field(name).replaceChildren(...values.map((value) => make("option", { value, textContent: words(value) })));
  choice("sampling", SAMPLINGS, (name) => text(`sampling.${name}`));
  choice("take", KINDS, (name) => text(`take.${name}`));
  const offer = (id, values) => find(id).replaceChildren(...values.map((value) => make("option", { value })));
  try {
    const { folders, zone, recorders, detectors } = await ask("api/v1/footage-options");
    choice("detector", detectors);
    field("zone").placeholder = zone;
    offer("#known-folders", folders);
    offer("#known-recorders", recorders);
    offer("#known-zones", ["UTC", ...Intl.supportedValuesOf("timeZone")]);
    find(".fields-hint").textContent = text("indexing.templateHint", Object.fromEntries(PARTS.map((name) => [name, `{${name}}`])));
    find(".limits").textContent = folders.length ? text("indexing.below", { folders: folders.join(", ") }) : text("indexing.anywhere");
    for (const [name, value] of Object.entries(remembered("indexing") || {})) field(name).value = value;
    await Promise.all([list.load(), weigh(), tryIt()]);
  } catch (error) {
    problem.textContent = error.message;
    find(".work").hidden = true;
  }
  page.classList.add("ready");
}

const sum = (sizes) => Object.values(sizes).reduce((total, size) => total + size, 0);

// heads: keys of words; a cell is words, or elements.
function table(heads, rows, kind = "") {
  const cell = (content) => make("td", {}, ...[content].flat());
  return make("div", { className: `table ${kind}`, tabIndex: 0 }, make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((key) => make("th", { scope: "col", textContent: text(key) })))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell))))));
}
