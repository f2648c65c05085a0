// From and to, as the cameras' clocks show them.
import { build, make } from "./base.js";
import { day, instant, span, text, wall } from "./language.js";

export function timeChoice(changed) {
  const element = build(`
    <fieldset class="times">
      <legend data-text="times.title"></legend>
      <label><span data-text="times.from"></span> <input type="datetime-local" class="after" step="1"></label>
      <label><span data-text="times.to"></span> <input type="datetime-local" class="before" step="1"></label>
      <label class="zones"><span data-text="times.zone"></span> <select class="zone" data-title="times.zoneHint"></select></label>
      <p class="hint"></p>
      <button type="button" class="quiet all" data-text="times.all" hidden></button>
    </fieldset>`);
  const find = (selector) => element.querySelector(selector);
  const after = find(".after"), before = find(".before"), zone = find(".zone"), all = find(".all");
  let recorded = null;

  const utc = (field) => (field.value ? new Date(instant(field.value, zone.value)).toISOString() : null);
  function explain() {
    all.hidden = !after.value && !before.value;
    find(".hint").textContent = recorded
      ? text("times.recorded", { day: day(recorded[0], zone.value), span: span(...recorded, zone.value), zone: zone.value })
      : "";
  }
  function report() {
    explain();
    changed({ after: utc(after), before: utc(before) });
  }
  for (const field of [after, before, zone]) field.addEventListener("change", report);
  all.addEventListener("click", () => {
    after.value = before.value = "";
    report();
  });

  return {
    element,
    get zone() {
      return zone.value || "UTC";
    },
    // The zone of most cameras comes first.
    show(cameras) {
      const counts = new Map();
      for (const camera of cameras) counts.set(camera.zone, (counts.get(camera.zone) || 0) + 1);
      const zones = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
      zone.replaceChildren(...zones.map((name) => make("option", { value: name, textContent: name })));
      find(".zones").hidden = zones.length < 2;
      const times = cameras.flatMap((camera) => [Date.parse(camera.first), Date.parse(camera.last)]).filter(Number.isFinite);
      recorded = times.length ? [Math.min(...times), Math.max(...times)] : null;
      explain();
    },
    set(times) {
      after.value = times.after ? wall(Date.parse(times.after), zone.value) : "";
      before.value = times.before ? wall(Date.parse(times.before), zone.value) : "";
      explain();
    },
  };
}
