// The hits of a case, a row each: the best shot, where and when, and what users say of it, changed in place.
import { build, button, clamp, hear, make } from "./base.js";
import { clock, day, doer, moment, number, percent, span, text, zoneName } from "./language.js";
import { row, windowed } from "./rows.js";

const HIGH = 148, NARROW_HIGH = 262, NARROW = 640;
const SOON_MS = 800; // after the last key a text is kept
const VERDICTS = { yes: "✓", no: "✕", unsure: "?" };

// open(index), judge(hit, verdict), similar(hit) and remove(hit) do what they are called; write(hit, note) says whether
// the note is kept.
export function caseHits({ open, judge, write, similar, remove }) {
  const element = build('<div class="rows" role="list" data-label="cases.hits"></div>'), list = windowed(element);
  let hits = [], fixed = false, at = 0, opened = null;

  // closed: nothing can be changed.
  function show(given = hits, closed = fixed) {
    [hits, fixed] = [given, closed];
    at = clamp(at, 0, Math.max(hits.length - 1, 0));
    const height = window.innerWidth <= NARROW ? NARROW_HIGH : HIGH;
    list.show(hits.map((hit, index) => ({ height, draw: () => row("of-entry", entry(hit, index)) })));
  }

  function entry(hit, index) {
    const { zone, start, end, note } = hit, when = `${day(start, zone)} ${clock(start, zone)}`;
    const worth = hit.p !== null ? text("cases.likely", { share: percent(hit.p) })
      : hit.score !== null ? text("hits.similarity", { score: hit.score.toFixed(2) }) : "";
    const picture = make("button", {
      type: "button", className: "shot", onclick: () => open(index), title: text("cases.play"),
      "aria-label": text("cases.playHit", { number: index + 1, camera: hit.camera, time: when }),
    }, hit.crop ? make("img", { src: hit.crop, alt: "", loading: "lazy", decoding: "async" }) : null,
      make("span", { className: "rank", textContent: number(index + 1) }), make("span", { className: "play", "aria-hidden": "true" }));
    const about = make("div", { className: "about" },
      make("span", { className: "camera", textContent: hit.camera, title: hit.camera }),
      make("span", { className: "time", textContent: `${span(start, end, zone)} ${zoneName(start, zone)}`, title: zone }),
      make("span", { className: "date", textContent: day(start, zone) }),
      worth ? make("span", { className: "worth", textContent: worth }) : null,
      ...[["hits.uncertain", hit.uncertain], ["hits.gone", hit.gone]].filter(([, why]) => why)
        .map(([key, title]) => make("span", { className: "tag bad", textContent: text(key), title })));
    const verdicts = make("div", { className: "segments", role: "group", "aria-label": text("cases.verdict") },
      ...Object.entries(VERDICTS).map(([verdict, sign]) => make("button", {
        type: "button", className: "quiet", textContent: `${sign} ${text(`hits.${verdict}`)}`, disabled: fixed,
        "data-verdict": verdict, onclick: () => judge(hit, hit.verdict === verdict ? null : verdict),
      })));
    const field = make("textarea", {
      value: note, maxLength: 2000, readOnly: fixed, placeholder: fixed ? "" : text("cases.note"), "aria-label": text("cases.note"),
    });
    keptSoon(field, () => write(hit, field.value));
    const does = make("div", { className: "does" },
      button("browse.search", () => similar(hit), { textContent: "≈", title: text("browse.search"), "aria-label": text("browse.search") }),
      button("cases.remove", () => remove(hit), { textContent: "✕", title: text("cases.remove"), "aria-label": text("cases.remove"), disabled: fixed }));
    const made = make("div", { className: "entry", role: "listitem" },
      picture, about, make("div", { className: "said" }, verdicts, make("span", { className: "by" })), field, does);
    made.dataset.index = index;
    made.addEventListener("focusin", () => (at = index));
    mark(made, hit);
    return made;
  }

  function mark(made, hit) {
    made.dataset.said = hit.verdict ?? "";
    if (hit.tracklet === opened) made.setAttribute("aria-current", "true");
    else made.removeAttribute("aria-current");
    for (const each of made.querySelectorAll("[data-verdict]"))
      each.setAttribute("aria-pressed", String(each.dataset.verdict === hit.verdict));
    made.querySelector(".by").textContent = text("cases.by", { by: doer(hit.by), time: moment(hit.at) });
  }

  function update() {
    for (const made of element.querySelectorAll(".entry")) mark(made, hits[made.dataset.index]);
  }

  function focus(index) {
    if (!hits.length) return;
    at = clamp(index, 0, hits.length - 1);
    list.reveal(at);
    element.querySelector(`.entry[data-index="${at}"] .shot`)?.focus({ preventScroll: true });
  }

  hear("open", ({ hits: all, index }) => {
    at = index;
    opened = all[index].tracklet;
    update();
  });
  hear("close", ({ focus: back }) => {
    opened = null;
    update();
    if (back) focus(at);
  });
  let width = 0;
  new ResizeObserver(() => {
    const now = element.clientWidth;
    if (now && width && now !== width) show();
    width = now;
  }).observe(element);

  return {
    element, show, focus, update,
    get at() {
      return at;
    },
  };
}

// keep() is called a moment after the last key and when the field is left, if its text is not kept yet; it says whether it is.
export function keptSoon(field, keep) {
  let timer = 0, kept = field.value;
  async function now() {
    clearTimeout(timer);
    const words = field.value;
    if (words === kept) return;
    kept = words;
    if (!(await keep())) kept = null;
  }
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(now, SOON_MS);
  });
  field.addEventListener("change", now);
}
