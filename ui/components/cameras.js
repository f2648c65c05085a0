// Which cameras: groups, then cameras; none ticked means all.
import { build, make } from "./base.js";
import { text } from "./language.js";

const MANY = 12; // from here on they can be looked for by name

export function cameraChoice(changed) {
  const element = build(`
    <fieldset class="cameras" id="cameras">
      <legend data-text="cameras.title"></legend>
      <p class="hint" data-text="cameras.hint"></p>
      <input type="search" class="look" data-placeholder="cameras.look" data-label="cameras.look" hidden>
      <div class="ticks"></div>
    </fieldset>`);
  const ticks = element.querySelector(".ticks"), look = element.querySelector(".look");

  function tick(name, words) {
    const box = make("input", { type: "checkbox", value: name, onchange: () => changed(chosen()) });
    return make("label", { title: words }, box, make("span", { textContent: words }));
  }
  const boxes = () => [...ticks.querySelectorAll("input")];
  const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);

  look.addEventListener("input", () => {
    const wanted = look.value.trim().toLowerCase();
    for (const label of ticks.children) label.hidden = !label.textContent.toLowerCase().includes(wanted);
  });
  return {
    element,
    show(cameras) {
      const names = new Set(cameras.map((camera) => camera.name)), groups = new Map();
      for (const { group } of cameras) if (group && !names.has(group)) groups.set(group, (groups.get(group) || 0) + 1);
      ticks.replaceChildren(
        ...[...groups].sort().map(([name, count]) => tick(name, text("cameras.group", { name, count }))),
        ...[...names].map((name) => tick(name, name)),
      );
      look.hidden = ticks.children.length < MANY;
      element.hidden = names.size < 2;
    },
    set(names) {
      for (const box of boxes()) box.checked = names.includes(box.value);
    },
  };
}
