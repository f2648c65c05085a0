// The confirmed hits in time order: where the person went, how long it took from one camera to the next, and who it is.
import { ask, attempt, build, button, make } from "./base.js";
import { clock, day, duration, text } from "./language.js";

// open(index), forget(hit) and keep() do what they are called: play one, take its answer back, put all into a case.
export function journey({ open, forget, keep }) {
  const element = build(`
    <section class="journey" data-label="journey.label" hidden>
      <div class="head"><h2 data-text="journey.label"></h2><span class="counts"></span>
        <form data-role="investigator">
          <input type="text" maxlength="200" required list="names" data-placeholder="journey.name" data-label="journey.name">
          <datalist id="names"></datalist>
          <button class="quiet" data-text="journey.keep"></button>
        </form>
      </div>
      <p class="say" role="status"></p>
      <p class="problem" role="alert"></p>
      <ol></ol>
    </section>`);
  const find = (selector) => element.querySelector(selector);
  const list = find("ol"), form = find("form"), field = find("input"), say = find(".say"), problem = find(".problem");
  let tracklets = [];
  // However many are confirmed, only the pictures in view are in the page.
  const inView = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes)
      target.replaceChildren(...(isIntersecting ? [make("img", { src: target.dataset.crop, alt: "" })] : []));
  });

  const into = button("into.confirmed", keep, { title: text("into.many"), "data-role": "investigator" });
  form.after(into);

  field.addEventListener("focus", async () => {
    const { identities } = await ask("api/v1/identities").catch(() => ({ identities: [] }));
    find("datalist").replaceChildren(...identities.map(({ name }) => make("option", { value: name })));
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say.textContent = "";
    await attempt(async () => {
      const name = field.value.trim(), { identities } = await ask("api/v1/identities");
      const known = identities.some((identity) => identity.name === name);
      if (known) await ask(`api/v1/identities/${encodeURIComponent(name)}/tracklets`, { json: { tracklets } });
      else await ask("api/v1/identities", { json: { name, tracklets } });
      say.textContent = text("journey.kept", { count: tracklets.length, name });
      field.value = "";
    }, problem, false);
  });

  function picture(hit) {
    const place = make("span", { className: "picture" });
    if (hit.crop) {
      place.dataset.crop = hit.crop;
      inView.observe(place);
    }
    return place;
  }

  return {
    element,
    // confirmed: in time order; refused: how many hits are not the person.
    show(confirmed, refused) {
      element.hidden = confirmed.length + refused === 0;
      form.hidden = into.hidden = confirmed.length === 0;
      tracklets = confirmed.map((hit) => hit.tracklet);
      say.textContent = problem.textContent = "";
      find(".counts").textContent = text("journey.counts", { yes: confirmed.length, no: refused });
      inView.disconnect();
      list.replaceChildren(...confirmed.map((hit, index) => {
        const before = confirmed[index - 1];
        const away = before && (Date.parse(hit.start) - Date.parse(before.end)) / 1000;
        const on = make("button", { type: "button", className: "stop", onclick: () => open(index) },
          picture(hit),
          make("span", { className: "number", textContent: index + 1 }),
          make("span", { className: "camera", textContent: hit.camera, title: hit.camera }),
          make("span", { className: "time", textContent: clock(hit.start, hit.zone), title: hit.zone }),
          make("span", { className: "date", textContent: day(hit.start, hit.zone) }));
        const back = make("button", { type: "button", className: "away", textContent: "✕", title: text("journey.forget"), onclick: () => forget(hit) });
        back.setAttribute("aria-label", text("journey.forget"));
        const way = before && make("span", { className: "way", textContent: away > 0 ? text("journey.away", { time: duration(away) }) : text("journey.same") });
        return make("li", {}, way, make("div", { className: "at" }, on, back));
      }));
    },
  };
}
