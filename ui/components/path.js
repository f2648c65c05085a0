// The confirmed hits in time order: where the person went, and how long it took from one camera to the next.
import { build, make } from "./base.js";
import { clock, day, duration, text } from "./language.js";

export function journey({ open, forget }) {
  const element = build(`
    <section class="journey" data-label="path.label" hidden>
      <div class="head"><h2 data-text="path.label"></h2><span class="counts"></span></div>
      <ol></ol>
    </section>`);
  const list = element.querySelector("ol");

  return {
    element,
    // confirmed: in time order; refused: how many hits are not the person.
    show(confirmed, refused) {
      element.hidden = confirmed.length + refused === 0;
      element.querySelector(".counts").textContent = text("path.counts", { yes: confirmed.length, no: refused });
      list.replaceChildren(...confirmed.map((hit, index) => {
        const before = confirmed[index - 1];
        const away = before && (Date.parse(hit.start) - Date.parse(before.end)) / 1000;
        const on = make("button", { type: "button", className: "stop", onclick: () => open(index) },
          make("img", { src: hit.crop, alt: "" }),
          make("span", { className: "number", textContent: index + 1 }),
          make("span", { className: "camera", textContent: hit.camera, title: hit.camera }),
          make("span", { className: "time", textContent: clock(hit.time, hit.zone), title: hit.zone }),
          make("span", { className: "date", textContent: day(hit.time, hit.zone) }));
        const back = make("button", { type: "button", className: "away", textContent: "✕", title: text("path.forget"), onclick: () => forget(hit) });
        back.setAttribute("aria-label", text("path.forget"));
        const way = before && make("span", { className: "way", textContent: away > 0 ? `+${duration(away)}` : text("path.same") });
        return make("li", {}, way, make("div", { className: "at" }, on, back));
      }));
    },
  };
}
