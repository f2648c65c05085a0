// Search: whom to look for, where and when; the hits, and what the user says of them; the recording of a hit.
import { address, ask, build, button, inTurns, link, make, remember, remembered, tell } from "../components/base.js";
import { cameraChoice } from "../components/cameras.js";
import { emptyGallery } from "../components/empty.js";
import { frame, keys } from "../components/frame.js";
import { ofSearch, ofTracklet } from "../components/hit.js";
import { hitList } from "../components/hits.js";
import { intoCase } from "../components/intocase.js";
import { journey } from "../components/journey.js";
import { number, text } from "../components/language.js";
import { picker } from "../components/picker.js";
import { player } from "../components/player.js";
import { savedSearches } from "../components/saved.js";
import { timeChoice } from "../components/times.js";
import { timeline } from "../components/timeline.js";

const TOPS = [40, 100, 200, 500, 1000];
const VIEWS = ["grid", "cameras", "timeline"];
const SOON_MS = 250; // answers that follow each other this fast are refined with together

export async function start(element, about) {
  frame(element, "search", about);
  const page = build(`
    <main class="search">
      <div class="summary"><h1 data-text="search.title"></h1><p class="facts"></p></div>
      <div class="work">
        <form class="side"></form>
        <div class="results">
          <div class="tools" role="toolbar" data-label="search.views"></div>
          <p class="told start" role="status"></p>
          <ol class="begin" hidden>
            <li><h2 data-text="begin.whom"></h2><p data-text="begin.whomHow"></p></li>
            <li><h2 data-text="begin.where"></h2><p data-text="begin.whereHow"></p></li>
            <li><h2 data-text="begin.judge"></h2><p data-text="begin.judgeHow"></p></li>
          </ol>
          <p class="problem" role="alert"></p>
          <p class="changed" role="status"></p>
        </div>
      </div>
    </main>`);
  element.append(page);
  const find = (selector) => page.querySelector(selector);
  const told = find(".told"), problem = find(".results > .problem"), tools = find(".tools");

  const kept = remembered("search") || {};
  const state = {
    items: [], cameras: [], after: null, before: null, combine: "", rerank: false, travelTimes: false, top: 40, purpose: "", view: "grid",
    judged: [], // {hit, verdict}, in the order they were said
    atOnce: true, ...kept,
  };
  let cameras = [], result = null, running = null, later = 0, takenBack = [];
  let asked = ""; // the question that the hits answer

  // --- The form.
  const query = picker((items) => {
    change({ items, judged: items.length ? state.judged : [] }); // without a query it is about somebody else
  });
  const cameraBox = cameraChoice((names) => change({ cameras: names }));
  const timeBox = timeChoice((times) => change(times));
  const more = options();
  const purpose = build(`<label class="field"><span data-text="search.purpose"></span>
    <input type="text" maxlength="500" class="purpose" data-placeholder="search.purposeHint"></label>`);
  purpose.querySelector("input").value = state.purpose;
  purpose.addEventListener("change", ({ target }) => change({ purpose: target.value }));
  const go = make("button", { id: "search", className: "primary", textContent: text("search.go") });
  const stop = make("button", { type: "button", className: "quiet stop", textContent: text("search.cancel"), hidden: true, onclick: () => running?.abort() });
  const fresh = button("search.new", anew, { hidden: true });
  const saved = savedSearches({ save, open: openSaved });
  const form = find(".side");
  form.append(query.element, cameraBox.element, timeBox.element, more, purpose, make("div", { className: "go" }, go, stop, fresh), saved.element);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    list.toFirst();
    run({ scroll: true });
  });

  // --- The results.
  const show = player({ judge: (hit, verdict) => judge(hit, verdict), similar, keep: (hit) => putIntoCase([hit]) });
  const list = hitList({
    open: (index) => tell("open", { hits: result.hits, index }),
    actions: [
      ["hits.yes", "✓", (index) => judge(result.hits[index], "yes")],
      ["hits.no", "✕", (index) => judge(result.hits[index], "no")],
      ["hits.similar", "≈", (index) => similar(result.hits[index])],
      ["into.this", "+", (index) => putIntoCase([result.hits[index]]), "investigator"],
    ],
  });
  const line = timeline({
    open(hit) {
      const all = hit.verdict ? confirmed() : result.hits;
      tell("open", { hits: all, index: all.indexOf(hit) });
    },
    period(after, before) {
      change({ after, before });
      timeBox.set(state);
      run();
    },
  });
  const way = journey({
    open: (index) => tell("open", { hits: confirmed(), index }),
    forget: (hit) => takeBack(hit),
    keep: () => putIntoCase(confirmed()),
  });
  const views = VIEWS.map((name) => make("button", {
    type: "button", className: "quiet", textContent: text(`view.${name}`), "data-view": name, onclick: () => look(name),
  }));
  const atOnce = make("input", { type: "checkbox", checked: state.atOnce, onchange: () => {
    change({ atOnce: atOnce.checked });
    if (state.atOnce) refine();
    refineNow.hidden = state.atOnce;
  } });
  const refineNow = button("refine.now", () => refine(true), { hidden: state.atOnce });
  const hint = keys({
    y: [() => judgeCurrent("yes"), "keys.yes"],
    n: [() => judgeCurrent("no"), "keys.no"],
    u: [undo, "keys.undo"],
    j: [() => next(1), "keys.next"],
    k: [() => next(-1), "keys.previous"],
    s: [() => current() && similar(current()), "keys.similar"],
    c: [() => current() && putIntoCase([current()]), "keys.case", "investigator"],
    ",": [() => show.step(-5)],
    ".": [() => show.step(5)],
  });
  tools.append(
    make("div", { className: "segments" }, ...views),
    make("label", { className: "at-once" }, atOnce, make("span", { textContent: text("refine.atOnce") })), refineNow, hint,
  );
  tools.hidden = true;
  find(".results").append(way.element, show.element, line.element, list.element);
  line.element.hidden = list.element.hidden = true;

  function options() {
    const details = build(`
      <details class="more"><summary data-text="search.more"></summary>
        <label class="field"><span data-text="search.top"></span><select class="most"></select></label>
        <label class="field"><span data-text="search.combine"></span><select class="combine">
          <option value="" data-text="combine.auto"></option><option value="mean" data-text="combine.mean"></option>
          <option value="max" data-text="combine.max"></option><option value="set" data-text="combine.set"></option>
        </select></label>
        <label class="tick"><input type="checkbox" class="rerank"><span data-text="search.rerank"></span></label>
        <label class="tick"><input type="checkbox" class="travel-times"><span data-text="search.travelTimes"></span></label>
      </details>`);
    const top = details.querySelector(".most"), combine = details.querySelector(".combine"), rerank = details.querySelector(".rerank");
    const times = details.querySelector(".travel-times");
    for (const each of TOPS) top.append(make("option", { value: each, textContent: number(each) }));
    top.value = state.top;
    combine.value = state.combine;
    [rerank.checked, times.checked] = [state.rerank, state.travelTimes];
    details.addEventListener("change", ({ target }) => {
      for (const [one, other] of [[rerank, times], [times, rerank]]) if (target === one && one.checked) other.checked = false; // either orders the hits
      change({ top: Number(top.value), combine: combine.value, rerank: rerank.checked, travelTimes: times.checked });
    });
    return details;
  }

  function change(values) {
    Object.assign(state, values);
    keep();
    markOld();
  }

  // Hits are never taken for those of a query that was changed since.
  function markOld() {
    const old = Boolean(result) && question() !== asked;
    page.classList.toggle("old", old);
    find(".changed").textContent = old ? text("search.changed") : "";
  }

  function keep() {
    remember("search", state);
    fresh.hidden = !state.items.length && !state.judged.length;
  }

  // About somebody else: nothing of the search before is left, but for how hits are looked at.
  function anew() {
    running?.abort();
    tell("close", { focus: false });
    [result, takenBack] = [null, []];
    change({ items: [], judged: [], cameras: [], after: null, before: null });
    query.set([]);
    cameraBox.set([]);
    timeBox.set(state);
    way.show([], 0);
    problem.textContent = "";
    begin();
    query.focus();
  }

  function begin() {
    told.textContent = text("search.start");
    told.classList.add("start");
    find(".begin").hidden = false;
    tools.hidden = list.element.hidden = line.element.hidden = true;
  }

  const judged = (verdict) => state.judged.filter((each) => each.verdict === verdict);
  const isSaved = () => state.items.some((item) => item.saved);
  // What a saved search keeps need not be said again.
  const verdicts = (verdict) => judged(verdict).filter((each) => !each.hit.kept).map((each) => each.hit.tracklet);
  const confirmed = () => judged("yes").map((each) => each.hit)
    .sort((a, b) => Date.parse(a.start) - Date.parse(b.start));

  // --- Searching.
  async function run({ scroll = false } = {}) {
    problem.textContent = "";
    const unclear = state.items.findIndex((item) => item.picture && item.chosen === null);
    if (unclear >= 0) return query.complain(text("search.unclear"), unclear);
    if (!state.items.length) return query.complain(text("search.nobody"), -1);
    if (state.after && state.before && state.after >= state.before) {
      problem.textContent = text("search.backwards");
      return undefined;
    }
    const now = question();
    const found = await answered((signal) => ask("api/v1/search", { json: request(), signal }));
    if (found) asked = now;
    markOld();
    if (found && !isSaved()) takenBack = []; // the question had all that counts
    else if (found && (verdicts("yes").length || verdicts("no").length || takenBack.length)) refine(true); // to keep it
    if (scroll && tools.getBoundingClientRect().top > window.innerHeight - 160) tools.scrollIntoView({ behavior: "smooth" });
  }

  // Shows what the server finds, and says whether it did; whatever was asked before is given up.
  async function answered(question) {
    running?.abort();
    const turn = (running = new AbortController());
    page.setAttribute("aria-busy", "true");
    stop.hidden = false;
    try {
      const answer = await question(turn.signal);
      // What was judged since the question was asked is gone from here already.
      const said = new Set(state.judged.map((each) => each.hit.tracklet));
      result = { ...answer, hits: answer.hits.filter((hit) => !said.has(hit.tracklet)).map((hit) => ({ ...ofSearch(hit), judgeable: true })) };
      render();
      return true;
    } catch (error) {
      if (error.name !== "AbortError") problem.textContent = error.message;
      else if (turn === running) told.textContent = text("search.cancelled");
    } finally {
      if (turn === running) {
        running = null;
        stop.hidden = true;
        page.removeAttribute("aria-busy");
        keep();
      }
    }
    return false;
  }

  // Without what was said of hits, which refines the same question.
  const question = () => JSON.stringify({ ...request(), yes: [], no: [], purpose: null });

  function request() {
    const { items, cameras: names, after, before, combine, rerank, travelTimes, top, purpose: why } = state;
    const of = (kind) => items.filter((item) => item[kind]).map((item) => item[kind]);
    return {
      pictures: items.filter((item) => item.picture).map(({ picture, box }) => ({ id: picture.id, box })),
      tracklets: of("tracklet"), identity: of("identity").at(-1) ?? null, saved: of("saved").at(-1) ?? null,
      yes: verdicts("yes"), no: verdicts("no"),
      cameras: names, after, before, combine: combine || null, rerank, travel_times: travelTimes, top, purpose: why || null,
    };
  }

  function render() {
    const { hits } = result;
    tell("close", { focus: false });
    told.classList.remove("start");
    find(".begin").hidden = true;
    told.replaceChildren(...sentences());
    tools.hidden = hits.length === 0 && state.judged.length === 0;
    way.show(confirmed(), judged("no").length);
    look(state.view);
  }

  function sentences() {
    const { hits, seconds } = result, filtered = state.cameras.length > 0 || state.after || state.before;
    if (!hits.length) return [make("span", { textContent: text(filtered ? "search.noneWithin" : "search.none") })];
    const lines = [[text("search.found", { count: hits.length, cameras: new Set(hits.map((hit) => hit.camera)).size, ms: Math.round(1000 * seconds) })]];
    if (result.expected_false_hits !== null) lines.push([text("search.wrong", { number: Math.round(result.expected_false_hits), of: hits.length })]);
    if (result.probably_absent) lines.push([text(filtered ? "search.absentWithin" : "search.absent"), "strong"]);
    if (result.calibration?.warning) lines.push([text("search.calibration", { source: result.calibration.source, warning: result.calibration.warning }), "warn"]);
    return lines.map(([textContent, className = ""]) => make("span", { textContent, className }));
  }

  function look(view) {
    change({ view });
    for (const each of views) each.setAttribute("aria-pressed", String(each.dataset.view === view));
    line.element.hidden = view !== "timeline";
    list.element.hidden = false;
    if (!result) return;
    if (view === "timeline") line.show({
      hits: result.hits, confirmed: confirmed().map((hit) => ({ ...hit, verdict: "yes" })), zone: timeBox.zone,
      cameras: shownCameras(), from: bound("after", "first", Math.min), to: bound("before", "last", Math.max),
    });
    list.show(result.hits, view === "cameras" ? "cameras" : "grid");
  }

  function shownCameras() {
    const within = cameras.filter(({ name, group }) => !state.cameras.length || state.cameras.includes(name) || state.cameras.includes(group));
    const seen = new Set([...result.hits, ...confirmed()].map((hit) => hit.camera));
    return within.length > 24 ? within.filter(({ name }) => seen.has(name)) : within; // rows without a hit tell little
  }

  const bound = (filter, side, most) => (state[filter] ? Date.parse(state[filter]) : most(...cameras.map((each) => Date.parse(each[side]))));

  // --- What the user says of hits.
  const current = () => show.hit ?? result?.hits[list.at];

  function judgeCurrent(verdict) {
    const hit = current();
    if (hit?.judgeable) judge(hit, verdict);
  }

  function judge(hit, verdict) {
    const playing = show.hit, from = result.hits.indexOf(hit);
    state.judged = [...state.judged.filter((each) => each.hit.tracklet !== hit.tracklet), { hit, verdict }];
    result.hits = result.hits.filter((each) => each !== hit);
    if (playing === hit && result.hits.length) tell("open", { hits: result.hits, index: Math.min(Math.max(from, 0), result.hits.length - 1) });
    else if (playing === hit) tell("close", { focus: false });
    way.show(confirmed(), judged("no").length);
    look(state.view);
    if (!playing) list.focus(Math.min(list.at, result.hits.length - 1));
    refine();
  }

  function takeBack(hit) {
    state.judged = state.judged.filter((each) => each.hit.tracklet !== hit.tracklet);
    takenBack.push(hit.tracklet);
    way.show(confirmed(), judged("no").length);
    refine(true);
  }

  function undo() {
    const last = state.judged.at(-1);
    if (last) takeBack(last.hit);
  }

  function refine(now = false) {
    keep();
    clearTimeout(later);
    if (!result || (!now && !state.atOnce)) return; // the first search takes them along
    page.setAttribute("aria-busy", "true");
    later = setTimeout(async () => {
      const said = { yes: verdicts("yes"), no: verdicts("no"), clear: [...takenBack] };
      const found = await answered((signal) => ask(`api/v1/search/${result.search}/feedback`, { json: said, signal }));
      if (found) takenBack = takenBack.filter((id) => !said.clear.includes(id));
      if (!show.hit) list.focus(Math.min(list.at, result.hits.length - 1));
    }, now ? 0 : SOON_MS);
  }

  // With what was said of them here.
  function putIntoCase(hits) {
    const said = new Map(state.judged.map(({ hit, verdict }) => [hit.tracklet, verdict]));
    intoCase(hits.map((hit) => ({ hit, verdict: said.get(hit.tracklet) })));
  }

  function next(step) {
    if (show.hit) show.go(step);
    else list.focus(Math.min(Math.max(list.at + step, 0), (result?.hits.length || 1) - 1));
  }

  function similar(hit) {
    state.items = [{ tracklet: hit.tracklet, crop: hit.crop, camera: hit.camera, zone: hit.zone, start: hit.start }];
    change({ judged: [] });
    query.set(state.items);
    list.toFirst();
    window.scrollTo({ top: 0 });
    run();
  }

  // --- Saved searches.
  async function save(name) {
    if (!result) throw new Error(text("saved.first"));
    await ask("api/v1/saved-searches", { json: { name, search: result.search } });
  }

  async function openSaved({ name }) {
    const { pictures, filters, yes, no } = await ask(`api/v1/saved-searches/${encodeURIComponent(name)}`); // answers may be new
    const crop = pictures.length ? address(`api/v1/saved-searches/${encodeURIComponent(name)}/pictures/0`) : null;
    const { cameras: names = [], after = null, before = null } = filters;
    const seen = async (ids, verdict) => inTurns(ids, async (id) => ({ verdict, hit: { ...ofTracklet(await ask(`api/v1/tracklets/${id}`)), kept: true } }));
    const answers = [...(await seen(yes, "yes")), ...(await seen(no, "no"))];
    takenBack = [];
    change({ items: [{ saved: name, crop }], cameras: names, after, before, judged: answers });
    query.set(state.items);
    cameraBox.set(state.cameras);
    timeBox.set(state);
    await run({ scroll: true });
  }

  // Other pages send people here: ?tracklet=ID, more than once for several, or ?identity=NAME.
  async function fromAddress() {
    const asked = new URLSearchParams(location.search);
    const tracklets = asked.getAll("tracklet"), identity = asked.get("identity");
    if (!tracklets.length && !identity) return;
    history.replaceState(null, "", link(""));
    try {
      const seen = await inTurns(tracklets, async (id) => ofTracklet(await ask(`api/v1/tracklets/${encodeURIComponent(id)}`)));
      change({ items: identity ? [{ identity, crop: null }] : seen, judged: [] });
      query.set(state.items);
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  // --- The beginning.
  try {
    ({ cameras } = await ask("api/v1/cameras"));
  } catch (error) {
    problem.textContent = error.message;
    return;
  }
  find(".facts").replaceChildren(...facts(cameras));
  cameraBox.show(cameras);
  timeBox.show(cameras);
  cameraBox.set(state.cameras);
  timeBox.set(state);
  query.set(state.items);
  if (!cameras.length) {
    form.hidden = true;
    find(".results").replaceChildren(emptyGallery(about));
  } else {
    begin();
    find(".begin").hidden = state.items.length > 0;
  }
  page.classList.add("ready");
  await fromAddress();
  if (state.items.length) await run();
}

function facts(cameras) {
  const sum = (key) => cameras.reduce((total, camera) => total + camera[key], 0);
  const lines = [
    text("facts.cameras", { count: cameras.length }),
    text("facts.videos", { count: sum("videos") }),
    text("facts.tracklets", { number: number(sum("tracklets")) }),
  ];
  return lines.map((words) => make("span", { textContent: words }));
}
