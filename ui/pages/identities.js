// Identities: people with names, the tracklets that show them, and all that was done, which can be undone.
import { ask, attempt, build, button, link, make, tell } from "../components/base.js";
import { sure } from "../components/dialog.js";
import { frame } from "../components/frame.js";
import { ofEntry } from "../components/hit.js";
import { hitList } from "../components/hits.js";
import { intoCase } from "../components/intocase.js";
import { isOver } from "../components/jobs.js";
import { doer, moment, text } from "../components/language.js";
import { player } from "../components/player.js";
import { toast } from "../components/toast.js";

const LINES = 30; // of the log that are shown
const LOOK_MS = 1000; // at a job that erases

export async function start(element, about) {
  frame(element, "identities", about);
  const page = build(`
    <main class="identities">
      <div class="summary"><h1 data-text="identities.title"></h1></div>
      <p class="problem" role="alert"></p>
      <div class="work">
        <div class="side"><ul class="people choices" data-label="identities.list"></ul>
          <details class="log"><summary data-text="identities.log"></summary><ol></ol></details></div>
        <div class="results"><p class="told start" role="status" hidden></p><div class="person" hidden>
          <div class="head"><h2 tabindex="-1"></h2><span class="counts"></span></div>
          <div class="tools"></div><form class="rename" hidden></form></div></div>
      </div>
    </main>`);
  element.append(page);
  const find = (selector) => page.querySelector(selector);
  const problem = find(".problem"), people = find(".people"), person = find(".person");
  let all = [], chosen = null, hits = [];

  const search = (hit) => (location.href = link("", { tracklet: hit.tracklet }));
  const into = (hits) => intoCase(hits.map((hit) => ({ hit })));
  const show = player({ judge() {}, similar: search, keep: (hit) => into([hit]) });
  const list = hitList({
    open: (index) => tell("open", { hits, index }),
    actions: [
      ["identities.remove", "✕", (index) => act(() => verdict(hits[index].tracklet)), "investigator"],
      ["browse.search", "≈", (index) => search(hits[index])],
      ["into.this", "+", (index) => into([hits[index]]), "investigator"],
    ],
  });
  find(".results").append(show.element, list.element);
  const path = (name, rest = "") => `api/v1/identities/${encodeURIComponent(name)}${rest}`;
  const verdict = (tracklet) => ask(path(chosen, "/tracklets"), { json: { tracklets: [tracklet], verdict: null } });

  // Does something, and shows what it has changed.
  function act(action, then = chosen) {
    return attempt(async () => {
      await action();
      await load(then);
    }, problem);
  }

  async function load(name) {
    const [{ identities }, { actions }] = await Promise.all([ask("api/v1/identities"), ask("api/v1/identity-actions")]);
    all = identities;
    find(".told").hidden = all.length > 0;
    find(".side").hidden = all.length + actions.length === 0;
    people.hidden = all.length === 0;
    people.replaceChildren(...all.map((each) => {
      const open = make("button", { type: "button", className: "quiet open", onclick: () => act(() => {}, each.name) },
        make("strong", { textContent: each.name }),
        make("span", { textContent: told(each) }));
      open.setAttribute("aria-pressed", String(each.name === name));
      return make("li", {}, open);
    }));
    log(actions);
    await choose(all.some((each) => each.name === name) ? name : all[0]?.name ?? null);
  }

  const told = ({ yes, no }) => [text("identities.tracklets", { count: yes }), no ? text("identities.no", { count: no }) : ""].filter(Boolean).join(", ");

  async function choose(name) {
    chosen = name;
    person.hidden = name === null;
    for (const open of people.querySelectorAll("button"))
      open.setAttribute("aria-pressed", String(open.querySelector("strong").textContent === name));
    tell("close", { focus: false });
    if (name === null) return list.show(hits = [], "days");
    const { tracklets } = await ask(path(name));
    const there = tracklets.filter((each) => each.verdict === "yes" && each.start);
    const gone = tracklets.filter((each) => each.verdict === "yes").length - there.length;
    if (chosen !== name) return undefined;
    hits = there.map((each) => ofEntry({ ...each, id: each.tracklet, identity: null }))
      .sort((a, b) => Date.parse(a.start) - Date.parse(b.start));
    find(".head h2").textContent = name;
    find(".counts").textContent = [told(all.find((each) => each.name === name)), gone ? text("identities.gone", { count: gone }) : ""].filter(Boolean).join(" · ");
    find(".tools").replaceChildren(...tools(name));
    find(".rename").hidden = true;
    return list.show(hits, "days");
  }

  function tools(name) {
    const other = make("select", { className: "into", "data-role": "investigator", "aria-label": text("identities.merge") },
      make("option", { value: "", textContent: text("identities.merge") }),
      ...all.filter((each) => each.name !== name).map((each) => make("option", { value: each.name, textContent: each.name })));
    other.addEventListener("change", () => act(() => ask(path(name, "/merge"), { json: { into: other.value } }), other.value));
    other.hidden = all.length < 2;
    return [
      make("a", { className: "primary", textContent: text("identities.search"), href: link("", { identity: name }) }),
      button("identities.rename", () => rename(name), { "data-role": "investigator" }),
      other,
      button("into.confirmed", () => into(hits), { title: text("into.many"), hidden: !hits.length, "data-role": "investigator" }),
      button("identities.unmerge", () => act(() => ask(path(name, "/unmerge"), { method: "POST" })), { "data-role": "investigator" }),
      button("identities.delete", async () => await sure(text("identities.sure", { name }), "identities.delete") && act(() => ask(path(name), { method: "DELETE" }), null), { className: "quiet danger", "data-role": "investigator" }),
      button("identities.erase", () => act(() => erase(name)), { className: "quiet danger", "data-role": "admin" }),
    ];
  }

  // Asks first; then a job does it, which is followed to its end.
  async function erase(name) {
    const { tracklets: count, searches } = await ask("api/v1/erasure-plans", { json: { identity: name } });
    if (!await sure(text("identities.sureErase", { name, count, searches }), "identities.erase")) return;
    let job = await ask("api/v1/erasures", { json: { identity: name } });
    toast(text("identities.erasing"));
    while (!isOver(job)) {
      await new Promise((go) => setTimeout(go, LOOK_MS));
      job = await ask(job.url);
    }
    if (job.state !== "done") throw new Error(job.error ?? text(`state.${job.state}`));
    toast(text("identities.erased", { count, files: job.result.proof.files }));
  }

  function rename(name) {
    const form = find(".rename"), field = make("input", { type: "text", required: true, maxLength: 200, value: name, "aria-label": text("identities.renameTo") });
    form.replaceChildren(field, make("button", { className: "quiet", textContent: text("identities.rename") }));
    form.hidden = false;
    field.select();
    form.onsubmit = (event) => {
      event.preventDefault();
      const to = field.value.trim();
      act(() => ask(path(name), { method: "PATCH", json: { name: to } }), to);
    };
  }

  function log(actions) {
    const undone = actions.some((each) => each.undone);
    find(".log ol").replaceChildren(
      make("li", { className: "go", "data-role": "investigator" },
        button("identities.undo", () => act(() => ask("api/v1/identity-actions/undo", { json: {} })), { disabled: !actions.some((each) => !each.undone) }),
        button("identities.redo", () => act(() => ask("api/v1/identity-actions/redo", { json: {} })), { disabled: !undone })),
      ...actions.slice(-LINES).reverse().map((each) => make("li", {
        className: each.undone ? "undone" : "",
        textContent: text("identities.line", { time: moment(each.at), by: doer(each.by), told: each.told }),
      })));
  }

  find(".told").textContent = text("identities.none");
  await act(() => {}, null);
  page.classList.add("ready");
}
