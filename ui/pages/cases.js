// Cases: hits that belong together, what is said of each of them, and the archive by which they are handed on.
import { ask, attempt, build, button, link, make, tell } from "../components/base.js";
import { caseHits, keptSoon } from "../components/casehits.js";
import { sure } from "../components/dialog.js";
import { caseExport } from "../components/exports.js";
import { frame, keys } from "../components/frame.js";
import { ofCase } from "../components/hit.js";
import { day, doer, moment, number, text } from "../components/language.js";
import { player } from "../components/player.js";
import { toast } from "../components/toast.js";

const FILTERS = { all: () => true, yes: isSaid("yes"), no: isSaid("no"), unsure: isSaid("unsure"), open: isSaid(null) };

function isSaid(verdict) {
  return (hit) => hit.verdict === verdict;
}

export async function start(element, about) {
  frame(element, "cases", about);
  const page = build(`
    <main class="cases">
      <div class="summary"><h1 data-text="cases.title"></h1></div>
      <p class="problem" role="alert"></p>
      <div class="work">
        <div class="side">
          <form class="fresh"><input type="text" required maxlength="200" data-placeholder="cases.fresh" data-label="cases.fresh">
            <button class="quiet" data-text="cases.begin"></button></form>
          <ul class="choices" data-label="cases.list"></ul>
          <details class="over" hidden><summary data-text="cases.over"></summary><ul class="choices"></ul></details>
        </div>
        <div class="results">
          <div class="case" hidden>
            <div class="head"><h2></h2><span class="tag"></span><span class="counts"></span></div>
            <form class="rename" hidden></form>
            <textarea class="note"></textarea>
            <div class="tools does"></div>
            <div class="tools look"><div class="segments" role="group" data-label="cases.look"></div></div>
            <p class="say" role="status"></p>
          </div>
          <p class="told start" role="status" hidden></p>
        </div>
      </div>
    </main>`);
  element.append(page);
  const find = (selector) => page.querySelector(selector);
  const problem = find(".problem"), saved = find(".say"), none = find(".told"), over = find(".over"), look = find(".look");
  let file = null, hits = [], shown = [], filter = "all", turn = 0;

  const search = (hit) => (location.href = link("", { tracklet: hit.tracklet }));
  const show = player({ judge, similar: search, unsure: true });
  const list = caseHits({ open: (index) => tell("open", { hits: shown, index }), judge, write, similar: search, remove });
  const hand = caseExport();
  find(".does").after(hand.element, show.element);
  find(".case").append(list.element);
  const filters = Object.keys(FILTERS).map((name) => make("button", {
    type: "button", className: "quiet", "data-filter": name, onclick: () => {
      filter = name;
      draw();
    },
  }));
  look.firstChild.append(...filters);
  look.append(keys({
    y: [() => judgeCurrent("yes"), "keys.yes"],
    n: [() => judgeCurrent("no"), "keys.no"],
    "?": [() => judgeCurrent("unsure"), "keys.unsure"],
    j: [() => step(1), "keys.next"],
    k: [() => step(-1), "keys.previous"],
    s: [() => current() && search(current()), "keys.similar"],
    ",": [() => show.step(-5)],
    ".": [() => show.step(5)],
  }));

  const path = (name, rest = "") => `api/v1/cases/${encodeURIComponent(name)}${rest}`;

  // Does something, says whether that went well, and shows the case that is then called so.
  function act(action, then = file?.name) {
    return attempt(async () => {
      await action();
      await load(then);
    }, problem);
  }

  // --- Which case.
  async function load(name) {
    const now = ++turn, { cases } = await ask("api/v1/cases");
    const open = cases.filter((each) => !each.closed), closed = cases.filter((each) => each.closed);
    const wanted = cases.find((each) => each.name === name) ?? open[0] ?? closed[0] ?? null;
    const found = wanted && (await ask(path(wanted.name)));
    if (now !== turn) return;
    find(".side > .choices").replaceChildren(...open.map(choice));
    over.querySelector("ul").replaceChildren(...closed.map(choice));
    over.hidden = !closed.length;
    over.open ||= Boolean(wanted?.closed);
    for (const each of page.querySelectorAll(".side .open")) each.setAttribute("aria-pressed", String(each.dataset.name === wanted?.name));
    history.replaceState(history.state, "", link(about.pages.cases, { case: wanted?.name }));
    find(".case").hidden = !found;
    none.hidden = Boolean(found);
    none.textContent = text("cases.none");
    if (found) await choose(found);
  }

  function choice({ name, note, hits: count }) {
    const words = [text("hits.count", { count }), note.split("\n")[0]].filter(Boolean).join(" · ");
    const open = make("button", { type: "button", className: "quiet open", "data-name": name, onclick: () => act(() => {}, name) },
      make("strong", { textContent: name }), make("span", { textContent: words }));
    return make("li", {}, open);
  }

  async function choose(found) {
    tell("close", { focus: false });
    saved.textContent = "";
    if (found.name !== file?.name) filter = "all";
    file = found;
    hits = file.hits.map((hit) => ofCase(hit, file));
    find("h2").textContent = file.name;
    find(".head .tag").textContent = file.closed ? text("cases.closed", { day: day(file.closed) }) : text("cases.open");
    find(".head .tag").className = `tag ${file.closed ? "" : "good"}`;
    find(".counts").textContent = text("cases.by", { by: doer(file.by), time: moment(file.at) });
    find(".rename").hidden = true;
    find(".case > .note").replaceWith(aboutIt());
    tools();
    draw();
    await hand.show(file, hits.length);
  }

  function aboutIt() {
    const { name, closed, note } = file;
    const field = make("textarea", {
      className: "note", rows: 2, maxLength: 2000, value: note, readOnly: Boolean(closed),
      placeholder: closed ? "" : text("cases.about"), "aria-label": text("cases.about"),
    });
    keptSoon(field, () => kept(() => ask(path(name), { method: "PATCH", json: { note: field.value }, keepalive: true })));
    return field;
  }

  function tools() {
    const { name, closed } = file, confirmed = hits.filter(FILTERS.yes).map((hit) => hit.tracklet);
    const change = (json, then) => act(() => ask(path(name), { method: "PATCH", json }), then);
    find(".does").replaceChildren(
      make("a", { className: "primary", textContent: text("cases.search"), href: link("", { tracklet: confirmed }), hidden: !confirmed.length }),
      button("cases.rename", () => rename(name, change), { hidden: Boolean(closed) }),
      closed ? button("cases.reopen", () => change({ closed: false })) : button("cases.close", () => change({ closed: true })),
      button("cases.delete", async () => {
        if (await sure(text("cases.sure", { name }), "cases.delete")) await act(() => ask(path(name), { method: "DELETE" }), null);
      }, { className: "quiet danger" }));
  }

  function rename(name, change) {
    const form = find(".rename"), field = make("input", { type: "text", required: true, maxLength: 200, value: name, "aria-label": text("cases.renameTo") });
    form.replaceChildren(field, make("button", { className: "quiet", textContent: text("cases.rename") }));
    form.hidden = !form.hidden;
    field.select();
    form.onsubmit = (event) => {
      event.preventDefault();
      const to = field.value.trim();
      change({ name: to }, to);
    };
  }

  // --- Its hits.
  function draw() {
    shown = hits.filter(FILTERS[filter]);
    none.hidden = hits.length > 0;
    none.textContent = text("cases.empty");
    look.hidden = list.element.hidden = !hits.length;
    count();
    list.show(shown, Boolean(file.closed));
  }

  function count() {
    for (const each of filters) {
      const name = each.dataset.filter, some = hits.filter(FILTERS[name]).length;
      each.textContent = `${text(`verdict.${name}`)} ${number(some)}`;
      each.disabled = !some && name !== filter;
      each.setAttribute("aria-pressed", String(name === filter));
    }
  }

  const current = () => show.hit ?? shown[list.at];

  function step(by) {
    if (show.hit) show.go(by);
    else list.focus(list.at + by);
  }

  function judgeCurrent(verdict) {
    const hit = current();
    if (hit?.judgeable) judge(hit, verdict);
  }

  // Shown at once; taken back where the server will not have it.
  async function judge(hit, verdict) {
    const before = hit.verdict;
    say(hit, verdict);
    if (!(await keep(hit, { verdict }))) say(hit, before);
  }

  function say(hit, verdict) {
    hit.verdict = verdict;
    list.update();
    show.mark();
    count();
    tools();
  }

  function write(hit, note) {
    return keep(hit, { note });
  }

  function keep(hit, json) {
    return kept(async () => {
      const answer = await ask(path(hit.case, `/hits/${hit.tracklet}`), { method: "PATCH", json, keepalive: true });
      const { by, at, note } = answer.hits.find((each) => each.tracklet === hit.tracklet);
      Object.assign(hit, { by, at, note });
      list.update();
    });
  }

  async function kept(action) {
    problem.textContent = "";
    saved.textContent = text("cases.saving");
    try {
      await action();
      saved.textContent = text("cases.saved");
      return true;
    } catch (error) {
      saved.textContent = "";
      problem.textContent = error.message;
      return false;
    }
  }

  async function remove(hit) {
    const { tracklet, shot: crop, verdict, note, score, p: p_match } = hit;
    if (!(await act(() => ask(path(hit.case, `/hits/${tracklet}`), { method: "DELETE" })))) return;
    list.focus(list.at);
    const back = { json: { hits: [{ tracklet, crop, verdict, note, score, p_match }] } };
    toast(text("cases.removed", { camera: hit.camera }), button("cases.undo", () => act(() => ask(path(hit.case, "/hits"), back))));
  }

  // --- The beginning.
  find(".fresh").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = find(".fresh input"), name = field.value.trim();
    if (await act(() => ask("api/v1/cases", { json: { name } }), name)) field.value = "";
  });
  const asked = new URLSearchParams(location.search).get("case");
  if ((await act(() => {}, asked)) && asked !== null && file?.name !== asked) problem.textContent = text("cases.unknown", { name: asked });
  page.classList.add("ready");
}
