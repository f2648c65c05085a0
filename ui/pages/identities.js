// Identities: people with names, the tracklets that show them, and all that was done, which can be undone.
import { ask, build, button, inTurns, make, root, tell } from "../components/base.js";
import { frame } from "../components/frame.js";
import { ofTracklet } from "../components/hit.js";
import { hitList } from "../components/hits.js";
import { clock, day, text } from "../components/language.js";
import { player } from "../components/player.js";

const LINES = 30; // of the log that are shown

export async function start(element, about) {
  frame(element, "identities", about.pages);
  const page = build(`
    <main class="identities">
      <div class="summary"><h1 data-text="identities.title"></h1></div>
      <p class="problem" role="alert"></p>
      <p class="told start" role="status" hidden></p>
      <div class="work">
        <div class="side"><ul class="people" data-label="identities.list"></ul>
          <details class="log"><summary data-text="identities.log"></summary><ol></ol></details></div>
        <div class="results"><div class="person" hidden>
          <div class="head"><h2 tabindex="-1"></h2><span class="counts"></span></div>
          <div class="tools"></div><form class="rename" hidden></form></div></div>
      </div>
    </main>`);
  element.append(page);
  const find = (selector) => page.querySelector(selector);
  const problem = find(".problem"), people = find(".people"), person = find(".person");
  let all = [], chosen = null, hits = [];

  const search = (hit) => (location.href = new URL(`?tracklet=${hit.tracklet}`, root).href);
  const show = player({ judge() {}, similar: search });
  const list = hitList({
    open: (index) => tell("open", { hits, index }),
    actions: [
      ["identities.remove", "✕", (index) => act(() => verdict(hits[index].tracklet))],
      ["browse.search", "≈", (index) => search(hits[index])],
    ],
  });
  find(".results").append(show.element, list.element);
  const path = (name, rest = "") => `api/v1/identities/${encodeURIComponent(name)}${rest}`;
  const verdict = (tracklet) => ask(path(chosen, "/tracklets"), { json: { tracklets: [tracklet], verdict: null } });

  // Does something, and shows what it has changed.
  async function act(action, then = chosen) {
    problem.textContent = "";
    try {
      await action();
      await load(then);
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  async function load(name) {
    const [{ identities }, { actions }] = await Promise.all([ask("api/v1/identities"), ask("api/v1/identity-actions")]);
    all = identities;
    find(".told").hidden = all.length > 0 || actions.length > 0;
    find(".work").hidden = !find(".told").hidden;
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
    const found = await inTurns(there, async (each) => ofTracklet(await ask(`api/v1/tracklets/${each.tracklet}`)));
    if (chosen !== name) return undefined;
    hits = found.sort((a, b) => Date.parse(a.time) - Date.parse(b.time)).map((hit) => ({ ...hit, identity: null }));
    find(".head h2").textContent = name;
    find(".counts").textContent = [told(all.find((each) => each.name === name)), gone ? text("identities.gone", { count: gone }) : ""].filter(Boolean).join(" · ");
    find(".tools").replaceChildren(...tools(name));
    find(".rename").hidden = true;
    return list.show(hits, "days");
  }

  function tools(name) {
    const into = make("select", { className: "into", "aria-label": text("identities.merge") },
      make("option", { value: "", textContent: text("identities.merge") }),
      ...all.filter((each) => each.name !== name).map((each) => make("option", { value: each.name, textContent: each.name })));
    into.addEventListener("change", () => act(() => ask(path(name, "/merge"), { json: { into: into.value } }), into.value));
    into.hidden = all.length < 2;
    return [
      make("a", { className: "primary", textContent: text("identities.search"), href: new URL(`?identity=${encodeURIComponent(name)}`, root).href }),
      button("identities.rename", () => rename(name)),
      into,
      button("identities.unmerge", () => act(() => ask(path(name, "/unmerge"), { method: "POST" }))),
      button("identities.delete", () => confirm(text("identities.sure", { name })) && act(() => ask(path(name), { method: "DELETE" }), null)),
    ];
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
      make("li", { className: "go" },
        button("identities.undo", () => act(() => ask("api/v1/identity-actions/undo", { json: {} })), { disabled: !actions.some((each) => !each.undone) }),
        button("identities.redo", () => act(() => ask("api/v1/identity-actions/redo", { json: {} })), { disabled: !undone })),
      ...actions.slice(-LINES).reverse().map((each) => make("li", {
        className: each.undone ? "undone" : "",
        textContent: text("identities.line", { time: `${day(each.at)}, ${clock(each.at)}`, by: each.by, told: each.told }),
      })));
  }

  find(".told").textContent = text("identities.none");
  await act(() => {}, null);
  page.classList.add("ready");
}
