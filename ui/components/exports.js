// Hands a case on: one archive, which a job makes, with heads blurred unless whoever asks wants them as they are.
import { address, ask, attempt, build, make } from "./base.js";
import { isOver, jobList } from "./jobs.js";
import { me } from "./me.js";
import { text } from "./language.js";

export function caseExport() {
  const element = build(`
    <details class="panel export">
      <summary data-text="export.title"></summary>
      <form class="form">
        <p class="hint" data-text="export.what"></p>
        <fieldset class="heads"><legend data-text="export.heads"></legend>
          <label class="choice"><input type="radio" name="heads" value="blurred">
            <span><strong data-text="export.blurred"></strong><span class="hint" data-text="export.blurredHint"></span></span></label>
          <label class="choice"><input type="radio" name="heads" value="shown">
            <span><strong data-text="export.shown"></strong><span class="hint" data-text="export.shownHint"></span></span></label>
        </fieldset>
        <p class="problem" role="alert"></p>
        <div class="actions"><button class="primary" data-text="export.go"></button></div>
      </form>
    </details>`);
  const form = element.querySelector("form"), problem = element.querySelector(".problem"), go = element.querySelector(".primary");
  let name = null, id = null;

  me().then(({ heads }) => (element.querySelector(".heads").hidden = heads === "blurred"), () => {}); // for them there is no choice

  const jobs = jobList({
    kinds: ["export"], only: ({ asked }) => asked.case_id === id, heading: "export.made",
    title: ({ asked }) => text(`export.${asked.heads}`), came,
    changed: (all) => (element.open ||= all.some((job) => !isOver(job))),
  });
  element.append(jobs.element);

  function came({ id, result: { hits, clips, sha256, left_out: missing } }) {
    return [
      make("a", { className: "quiet download", href: address(`api/v1/exports/${id}`), download: "", textContent: text("export.download") }),
      make("p", { textContent: text("export.has", { count: hits, clips }) }),
      make("p", { className: "hint digest", textContent: `SHA-256 ${sha256}` }),
      missing.length ? make("ul", { className: "hint missing" }, ...missing.map((each) => make("li", { textContent: each }))) : "",
    ];
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    await attempt(async () => {
      await ask(`api/v1/cases/${encodeURIComponent(name)}/exports`, { json: { heads: form.heads.value } });
      blurred();
      await jobs.load();
    }, problem, false);
    go.disabled = false;
  });

  // Heads as they are have to be asked for each time.
  function blurred() {
    form.heads.value = "blurred";
  }

  return {
    element,
    // Of a case that has so many hits. Its archives are found by its id: it may have had another name.
    async show(given, hits) {
      if (given.id !== id) element.open = false;
      ({ name, id } = given);
      problem.textContent = "";
      element.hidden = hits === 0;
      blurred();
      await jobs.load();
    },
  };
}
