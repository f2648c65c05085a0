// Models: what the gallery is searched with and what it could be; how far P(match) is right; adapting, and switching.
import { ask, attempt, build, button, make } from "../components/base.js";
import { sure } from "../components/dialog.js";
import { frame } from "../components/frame.js";
import { isOver, jobList } from "../components/jobs.js";
import { day, number, percent, text } from "../components/language.js";
import { reliabilityPlot } from "../components/reliability.js";

const KINDS = ["adapt", "reembed", "prune", "calibrate"];
const RECIPES = ["ise", "cluster_contrast", "spcl"];
const SOURCES = ["", "identities", "answers", "label-free"];
const SCORES = { rank1: "Rank-1", rank5: "Rank-5", rank10: "Rank-10" };
const MEASURES = ["within", "apart", "auc", "same_camera"];
const SHORT = 8; // characters of an id that is all there is to call a model by

export async function start(element, about) {
  frame(element, "models", about);
  const page = build(`
    <main class="models">
      <div class="summary"><h1 data-text="models.title"></h1><p class="told" role="status"></p></div>
      <p class="hint" data-text="models.what"></p>
      <p class="problem" role="alert"></p>
      <ul class="panels cards-of-models" data-label="models.title"></ul>
      <div class="actions prune" data-role="admin"></div>
      <div class="panels doing">
        <section class="panel calibration"><h2 data-text="calibration.title"></h2>
          <div class="plot"></div><p class="told"></p><dl class="terms"></dl><p class="problem"></p>
          <form class="form" data-role="admin"><label class="field"><span data-text="calibration.from"></span><select></select></label>
            <div class="actions"><button class="quiet" data-text="calibration.go"></button></div></form></section>
        <div class="adapt-and-work"><section class="panel adapting" data-role="admin"><h2 data-text="adapt.title"></h2>
          <p class="hint" data-text="adapt.what"></p>
          <form class="form">
            <div class="segments" role="group" data-label="adapt.title">
              <button type="button" class="quiet" data-way="quick" data-text="adapt.quick"></button>
              <button type="button" class="quiet" data-way="train" data-text="adapt.train"></button></div>
            <p class="hint how"></p>
            <div class="fields" hidden>
              <label class="field"><span data-text="adapt.recipe"></span><select class="recipe"></select></label>
              <label class="field"><span data-text="adapt.images"></span>
                <input type="number" class="images" min="1" max="10000000" data-placeholder="adapt.imagesHint"></label></div>
            <label class="tick"><input type="checkbox" class="apply"><span data-text="adapt.apply"></span></label>
            <div class="actions"><button class="primary" data-text="adapt.go"></button></div>
          </form></section></div>
      </div>
    </main>`);
  element.append(page);
  const find = (selector) => page.querySelector(selector);
  const problem = find(".problem"), adapting = find(".adapting"), calibrating = find(".calibration");
  const names = new Map(); // of models that were seen, by their ids
  let models = [], way = "quick";

  const act = (action) => attempt(action, problem);
  const load = () => act(show);
  const list = jobList({ kinds: KINDS, title, came, changed: mark, over: load });
  find(".adapt-and-work").append(list.element);

  async function show() {
    const [known, told] = await Promise.all([ask("api/v1/models"), ask("api/v1/calibration")]);
    ({ models } = known);
    for (const { id, card } of models) names.set(id, called(card));
    find(".cards-of-models").replaceChildren(...models.map(cardOf));
    const own = models.find((model) => model.active), idle = models.filter((model) => model.source === "gallery" && !model.active);
    find(".summary .told").textContent = text("models.inUse", { name: called(own.card), provider: runsOn(own.provider) });
    find(".prune").replaceChildren(...(idle.length ? [button("models.prune", () => prune(idle), { className: "quiet danger" })] : []));
    tellCalibration(told);
    mark();
  }

  // --- Models.
  const called = (card) => `${card.name}/${card.version}`;
  const runsOn = (provider) => provider.replace("ExecutionProvider", "");

  function cardOf({ id, source, active, crops, coverage, provider, card }) {
    const { height, width, dim, precision, training_data, recipe, licence, cameras, notes } = card;
    const scored = Object.entries(card.scores).flatMap(([protocol, values]) => [make("span", { textContent: scores(values, precision) }), make("small", { textContent: protocol })]);
    const facts = [["models.input", text("models.size", { height, width, dim, precision })], ["models.scores", scored]];
    const about = [
      ["models.trained", training_data],
      ["models.cameras", cameras.join(", ")],
      ["models.licence", licence],
      ["models.notes", notes],
      ["models.recipe", recipe],
    ];
    const tags = active ? [[text("models.active"), "good"], [text("models.runs", { provider: runsOn(provider) }), ""]] : [[text(`source.${source}`), ""]];
    const moved = coverage === 1 ? text("models.whole") : text(crops ? "models.part" : "models.none");
    const node = make("li", { className: "panel model" },
      make("div", { className: "head" }, make("h2", { textContent: called(card) }),
        ...tags.map(([words, kind]) => make("span", { className: `tag ${kind}`, textContent: words }))),
      terms(facts),
      make("details", {}, make("summary", { textContent: text("models.about") }), terms(about)),
      make("div", { className: "running" }, make("span", { textContent: crops === null ? percent(coverage) : text("models.coverage", { crops: number(crops), share: percent(coverage) }) }),
        make("progress", { className: "progress", max: 1, value: coverage, "aria-label": text("models.covered") })),
      active ? null : make("div", { className: "actions", "data-role": "admin" }, button("models.switch", () => act(() => list.begin({ kind: "reembed", model: id })), { className: "quiet switch" }),
        make("span", { className: "hint", textContent: moved })));
    node.dataset.model = called(card);
    return node;
  }

  const terms = (facts) => make("dl", { className: "terms" },
    ...facts.filter(([, value]) => value.length).flatMap(([key, value]) => [make("dt", { textContent: text(key) }), make("dd", {}, ...[value].flat())]));

  function scores(values, precision) {
    if ("mAP_loss" in values) return text("models.loses", { precision, points: number(Math.round(1000 * values.mAP_loss) / 10), cosine: number(values.cosine) });
    return Object.entries(values).map(([name, value]) => `${SCORES[name] ?? name} ${percent(value, 1)}`).join(", ");
  }

  // Only one switch at a time.
  function mark() {
    const moving = list.jobs.some((job) => job.kind === "reembed" && !isOver(job));
    for (const go of page.querySelectorAll(".switch")) go.disabled = moving;
  }

  async function prune(idle) {
    const words = text("models.sure", { models: idle.map(({ card }) => called(card)).join(", ") });
    if (await sure(words, "models.prune")) act(() => list.begin({ kind: "prune" }));
  }

  // --- Calibration.
  function tellCalibration({ calibration, reliability }) {
    calibrating.querySelector(".plot").replaceChildren(...(reliability.length ? [reliabilityPlot(reliability)] : []));
    calibrating.querySelector(".told").textContent = calibration ? "" : text("calibration.none");
    calibrating.querySelector(".problem").textContent = calibration?.warning ?? "";
    const facts = calibration ? [
      ["calibration.source", text(`from.${calibration.source}`)],
      ["calibration.at", day(calibration.at)],
      ...[calibration.pairs].filter(Boolean).map(({ matches, others }) => ["calibration.pairs", text("calibration.counts", { same: number(matches), other: number(others) })]),
      ["calibration.error", percent(calibration.expected_calibration_error, 1)],
    ] : [];
    calibrating.querySelector("dl").replaceChildren(...facts.flatMap(([key, words]) => [make("dt", { textContent: text(key) }), make("dd", { textContent: words })]));
  }

  calibrating.querySelector("select").append(...SOURCES.map((value) => make("option", { value, textContent: text(`from.${value || "auto"}`) })));
  calibrating.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const source = calibrating.querySelector("select").value;
    act(() => list.begin({ kind: "calibrate", ...(source && { source }) }));
  });

  // --- Adapting.
  function choose(chosen) {
    way = chosen;
    for (const each of adapting.querySelectorAll("[data-way]")) each.setAttribute("aria-pressed", String(each.dataset.way === way));
    adapting.querySelector(".how").textContent = text(`adapt.${way}Hint`);
    adapting.querySelector(".fields").hidden = way === "quick";
  }

  for (const each of adapting.querySelectorAll("[data-way]")) each.addEventListener("click", () => choose(each.dataset.way));
  adapting.querySelector(".recipe").append(...RECIPES.map((value) => make("option", { value, textContent: value })));
  adapting.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const images = adapting.querySelector(".images").valueAsNumber, recipe = adapting.querySelector(".recipe").value;
    const training = way === "quick" ? {} : { recipe, ...(images && { images }) };
    const wanted = { kind: "adapt", quick: way === "quick", apply: adapting.querySelector(".apply").checked, ...training };
    act(async () => {
      await list.begin(wanted);
      list.element.scrollIntoView({ block: "nearest" });
    });
  });

  // --- What runs.
  function nameOf(id) {
    const made = list.jobs.find((job) => job.kind === "adapt" && idOf(job) === id && job.result);
    return names.get(id) ?? (made ? `${made.result.name}/${made.result.version}` : id.slice(0, SHORT));
  }

  const idOf = (job) => job.retry_of ?? job.id; // of the model that it makes

  function title({ kind, asked, result }) {
    if (kind === "reembed") return text("models.switching", { name: result?.model ?? nameOf(asked.model) });
    if (kind === "adapt") return asked.quick ? text("adapt.quickly") : text("adapt.training", { recipe: asked.recipe ?? RECIPES[0] });
    return text(`work.${kind}`);
  }

  function came(job) {
    const { kind, result } = job, say = (words, className = "") => make("p", { className, textContent: words });
    if (kind === "adapt") return adapted(job, say);
    if (kind === "reembed") return [say(text("models.embedded", { count: number(result.embedded), reused: number(result.reused) })), ...result.notes.map((note) => say(note, "hint"))];
    if (kind === "prune") return [say(text("models.pruned", { count: result.models.length }))];
    return [say(text("calibration.made", { source: text(`from.${result.source}`), error: percent(result.expected_calibration_error, 1) }))];
  }

  function adapted(job, say) {
    const { name, version, before, after, improved, warnings } = job.result;
    const value = (share) => (share === null ? "–" : share.toFixed(3));
    const go = button("models.switch", () => act(() => list.begin({ kind: "reembed", model: idOf(job) })), { className: "quiet switch", "data-role": "admin" });
    return [
      say(text(improved ? "adapt.better" : "adapt.worse", { name: `${name}/${version}`, count: number(before.crops) })),
      make("div", { className: "table" }, make("table", {},
        make("thead", {}, make("tr", {}, ...["measure", "before", "after"].map((key) => make("th", { scope: "col", className: key === "measure" ? "" : "count", textContent: text(`adapt.${key}`) })))),
        make("tbody", {}, ...MEASURES.map((key) => make("tr", {}, make("td", { textContent: text(`measure.${key}`, { chance: value(before.same_camera_by_chance) }) }),
          ...[before, after].map((scores) => make("td", { className: "count", textContent: value(scores[key]) }))))))),
      ...warnings.map((words) => say(words, "hint")),
      ...(job.result.reembed ? [] : [go]),
    ];
  }

  choose(way);
  await load();
  await list.load();
  page.classList.add("ready");
}
