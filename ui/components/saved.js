// Saved searches: keep this one, open one, forget one.
import { ask, attempt, build, make } from "./base.js";
import { sure } from "./dialog.js";
import { text } from "./language.js";

// save(name) and open(search) do what they are called; both may throw.
export function savedSearches({ save, open }) {
  const element = build(`
    <details class="saved">
      <summary data-text="saved.title"></summary>
      <form data-role="investigator">
        <input type="text" maxlength="100" required data-placeholder="saved.name" data-label="saved.name">
        <button class="quiet" data-text="saved.save"></button>
      </form>
      <p class="problem" role="alert"></p>
      <ul class="choices"></ul>
      <p class="hint"></p>
    </details>`);
  const form = element.querySelector("form"), name = element.querySelector("input"), problem = element.querySelector(".problem");
  const list = element.querySelector("ul"), hint = element.querySelector(".hint");

  const act = (action) => attempt(async () => {
    await action();
    await load();
  }, problem, false);

  async function load() {
    const { searches } = await ask("api/v1/saved-searches");
    hint.textContent = searches.length ? "" : text("saved.none");
    list.replaceChildren(...searches.map((search) => make("li", {},
      make("button", { type: "button", className: "quiet open", onclick: () => act(() => open(search)) },
        make("strong", { textContent: search.name }), make("span", { textContent: about(search) })),
      make("button", {
        type: "button", className: "away", textContent: "✕", title: text("saved.delete"),
        "aria-label": `${text("saved.delete")}: ${search.name}`,
        onclick: async () => await sure(text("saved.sure", { name: search.name }), "saved.delete") &&
          act(() => ask(`api/v1/saved-searches/${encodeURIComponent(search.name)}`, { method: "DELETE" })),
      }))));
  }

  function about({ pictures, tracklets, yes, no }) {
    return text("saved.about", { pictures: pictures.length, tracklets: tracklets.length, yes: yes.length, no: no.length });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(async () => {
      await save(name.value.trim());
      name.value = "";
    });
  });
  element.addEventListener("toggle", () => element.open && act(() => {}));
  return { element };
}
