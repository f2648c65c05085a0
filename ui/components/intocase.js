// Puts hits into a case: one that is open, or a new one.
import { ask, attempt, build, clamp, link, make, remember, remembered } from "./base.js";
import { text } from "./language.js";
import { toast } from "./toast.js";

// given: [{hit, verdict}]; without a verdict a hit is open, or stays as it is where the case has it already.
export async function intoCase(given) {
  const dialog = build(`
    <dialog class="dialog into">
      <h2></h2>
      <p class="problem" role="alert"></p>
      <ul class="choices" data-label="cases.list"></ul>
      <form class="fresh">
        <label class="field"><span data-text="into.new"></span><input type="text" required maxlength="200" data-placeholder="into.name"></label>
        <div class="actions">
          <button type="button" class="quiet cancel" data-text="dialog.cancel"></button>
          <button class="primary" data-text="into.begin"></button>
        </div>
      </form>
    </dialog>`);
  const find = (selector) => dialog.querySelector(selector), problem = find(".problem"), name = find("input");
  find("h2").textContent = text("into.title", { count: given.length });
  find(".cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    act(async () => {
      await ask("api/v1/cases", { json: { name: name.value.trim() } });
      await put(name.value.trim());
    });
  });
  document.querySelector(".page").append(dialog);
  dialog.showModal();
  await act(() => {});

  async function act(action) {
    await attempt(action, problem, false);
    if (!dialog.open) return;
    const { cases } = await ask("api/v1/cases").catch((error) => {
      problem.textContent = error.message;
      return { cases: [] };
    });
    const last = remembered("case"), open = cases.filter((each) => !each.closed);
    open.sort((a, b) => (b.name === last) - (a.name === last)); // the one that was filled last comes first
    find("ul").replaceChildren(...open.map((each) => make("li", {},
      make("button", { type: "button", className: "quiet open", onclick: () => act(() => put(each.name)) },
        make("strong", { textContent: each.name }), make("span", { textContent: text("hits.count", { count: each.hits }) })))));
    (find(".choices .open") ?? name).focus();
  }

  async function put(into) {
    const hits = given.map(({ hit, verdict = null }) => ({
      tracklet: hit.tracklet, crop: hit.shot, verdict, p_match: hit.p,
      score: typeof hit.score === "number" ? clamp(hit.score, -1, 1) : null, // rounding may go beyond
    }));
    await ask(`api/v1/cases/${encodeURIComponent(into)}/hits`, { json: { hits } });
    remember("case", into);
    dialog.close();
    toast(text("into.done", { count: hits.length, name: into }),
      make("a", { href: link("cases", { case: into }), textContent: text("into.open") }));
  }
}
