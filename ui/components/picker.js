// Whom to search for: pictures and tracklets that together make one query. In a frame the people found are numbered;
// click the person, or draw a box.
// An item is {picture: {id, width, height, people, is_crop, warnings}, box, chosen}, {tracklet, crop, camera, zone, start},
// {identity, crop} or {saved, crop}; chosen: a person's number from 0, "whole", "drawn", or null while nobody is.
import { address, ask, build, clamp, make } from "./base.js";
import { text, clock, day } from "./language.js";

const LEAST = 0.015; // of the picture's side: a smaller box is a click that slipped

const shown = (id) => address(`api/v1/queries/${id}`);

export function picker(changed) {
  const element = build(`
    <section class="picker" data-label="picker.label">
      <label class="drop">
        <input type="file" accept="image/*" multiple class="visually-hidden">
        <span class="drop-icon" aria-hidden="true"></span>
        <strong data-text="picker.title"></strong>
        <span data-text="picker.hint"></span>
      </label>
      <ul class="items" data-label="picker.items" hidden></ul>
      <p class="together" data-text="picker.together" hidden></p>
      <div class="chosen" hidden>
        <div class="frame"><img data-label="picker.image" alt=""><div class="boxes"></div><span class="drawing" hidden></span></div>
      </div>
      <p class="say" role="status"></p>
      <p class="problem" role="alert"></p>
      <div class="actions" hidden>
        <button type="button" class="whole quiet" data-text="picker.whole"></button>
        <button type="button" class="remove quiet" data-text="picker.remove"></button>
      </div>
    </section>`);
  const find = (selector) => element.querySelector(selector);
  const drop = find(".drop"), input = find("input"), list = find(".items"), frame = find(".frame"), boxes = find(".boxes");
  const image = find("img"), say = find(".say"), problem = find(".problem"), drawing = find(".drawing");
  let items = [], active = -1, busy = 0;

  async function take(files) {
    problem.textContent = "";
    for (const file of files) {
      busy += 1;
      element.setAttribute("aria-busy", "true");
      say.textContent = text("picker.looking");
      try {
        const path = `api/v1/queries?name=${encodeURIComponent(file.name || "picture")}`;
        const picture = await ask(path, { method: "POST", body: file });
        const only = picture.people.length === 1 && !picture.is_crop;
        const whole = picture.is_crop || picture.people.length === 0;
        items.push({ picture, box: only ? picture.people[0].box : null, chosen: only ? 0 : whole ? "whole" : null });
        active = items.length - 1;
      } catch (error) {
        problem.textContent = error.message;
      }
      busy -= 1;
      if (!busy) element.removeAttribute("aria-busy");
    }
    input.value = "";
    report();
  }

  function report() {
    show();
    changed(items);
  }

  function show() {
    const item = items[active];
    drop.classList.toggle("small", items.length > 0);
    list.hidden = items.length === 0;
    find(".together").hidden = items.length < 2;
    list.replaceChildren(...items.map(thumb));
    find(".chosen").hidden = find(".actions").hidden = !item?.picture;
    say.textContent = item ? words(item) : "";
    if (!item?.picture) return;
    const { id, width, height, people } = item.picture;
    if (image.src !== shown(id)) image.src = shown(id);
    image.width = width;
    image.height = height;
    const held = [...boxes.children].indexOf(document.activeElement); // who chooses by keyboard stays where they are
    boxes.replaceChildren(...people.map((person, index) => boxButton(person.box, index, item)));
    if (item.chosen === "drawn") boxes.append(make("span", { className: "box drawn" }));
    place(boxes.querySelector(".drawn"), item.box);
    boxes.classList.toggle("decided", item.chosen !== null && item.chosen !== "whole");
    boxes.children[held]?.focus();
    find(".whole").setAttribute("aria-pressed", String(item.chosen === "whole"));
    find(".whole").hidden = people.length === 0 && item.chosen === "whole";
  }

  function words({ picture, chosen, camera, zone, start, identity, saved }) {
    if (identity) return text("picker.identity", { name: identity });
    if (saved) return text("picker.saved", { name: saved });
    if (!picture) return text("picker.tracklet", { camera, time: `${day(start, zone)}, ${clock(start, zone)}` });
    return [chosenWords(picture, chosen), ...picture.warnings.map((warning) => `${warning[0].toUpperCase()}${warning.slice(1)}.`)].join(" ");
  }

  function chosenWords(picture, chosen) {
    if (chosen === "drawn") return text("picker.drawn");
    if (Number.isInteger(chosen)) return text(picture.people.length === 1 ? "picker.single" : "picker.person", { number: chosen + 1 });
    if (chosen === null) return text("picker.several", { count: picture.people.length });
    return text(picture.is_crop ? "picker.crop" : picture.people.length ? "picker.all" : "picker.nobody");
  }

  function thumb(item, index) {
    const look = item.picture ? cut(item) : item.crop ? make("img", { src: item.crop, alt: "" }) : make("span", { textContent: item.identity || item.saved });
    const select = make("button", { type: "button", className: "thumb", "aria-pressed": String(index === active) }, look);
    select.setAttribute("aria-label", text("picker.item", { number: index + 1 }));
    select.classList.toggle("open", item.chosen === null);
    select.addEventListener("click", () => {
      active = index;
      show();
    });
    const away = make("button", { type: "button", className: "away", textContent: "✕", title: text("picker.remove") });
    away.setAttribute("aria-label", text("picker.removeItem", { number: index + 1 }));
    away.addEventListener("click", () => remove(index));
    return make("li", {}, select, away);
  }

  // A picture's thumbnail is the part that is meant.
  function cut(item) {
    const { picture, box } = item, canvas = make("canvas", { width: 96, height: 128 }), whole = new Image();
    whole.onload = () => {
      const [x1, y1, x2, y2] = box || [0, 0, 1, 1];
      const wide = (x2 - x1) * whole.naturalWidth, high = (y2 - y1) * whole.naturalHeight;
      const scale = Math.min(96 / wide, 128 / high);
      canvas.getContext("2d").drawImage(
        whole, x1 * whole.naturalWidth, y1 * whole.naturalHeight, wide, high,
        (96 - wide * scale) / 2, (128 - high * scale) / 2, wide * scale, high * scale,
      );
    };
    whole.onerror = () => {
      if (!items.includes(item)) return;
      remove(items.indexOf(item));
      problem.textContent = text("picker.gone");
    };
    whole.src = shown(picture.id);
    return canvas;
  }

  function remove(index) {
    items.splice(index, 1);
    active = clamp(active - (index < active), -1, items.length - 1);
    problem.textContent = "";
    report();
    (items.length ? list.children[Math.max(active, 0)].firstChild : input).focus();
  }

  function place(node, box) {
    if (!node) return;
    const [x1, y1, x2, y2] = box;
    Object.assign(node.style, {
      left: `${100 * x1}%`, top: `${100 * y1}%`, width: `${100 * (x2 - x1)}%`, height: `${100 * (y2 - y1)}%`,
    });
  }

  function boxButton(box, index, item) {
    const [x1, y1, x2, y2] = box;
    const button = make("button", { type: "button", className: "box" }, make("span", { textContent: index + 1 }));
    button.setAttribute("aria-label", text("picker.number", { number: index + 1 }));
    button.setAttribute("aria-pressed", String(item.chosen === index));
    button.classList.toggle("high", y1 < 0.08); // no room for the number above the box
    place(button, box);
    // Where boxes overlap the smaller one is on top, or it could not be clicked.
    button.style.zIndex = Math.round(1000 * (1 - (x2 - x1) * (y2 - y1)));
    button.addEventListener("click", () => choose(index, box));
    return button;
  }

  function choose(chosen, box) {
    Object.assign(items[active], { chosen, box });
    problem.textContent = "";
    report();
    if (Number.isInteger(chosen)) boxes.children[chosen]?.focus();
  }

  // Draw a box: press, drag, let go. A press without a drag stays a click on what is below.
  function at(event) {
    const { left, top, width, height } = image.getBoundingClientRect();
    return [clamp((event.clientX - left) / width, 0, 1), clamp((event.clientY - top) / height, 0, 1)];
  }
  frame.addEventListener("dragstart", (event) => event.preventDefault());
  frame.addEventListener("pointerdown", (down) => {
    if (down.button !== 0) return;
    const from = at(down);
    let box = null;
    const move = (event) => {
      const to = at(event);
      const now = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
      if (!box && Math.max(now[2] - now[0], now[3] - now[1]) < LEAST) return;
      if (!box) frame.setPointerCapture(down.pointerId); // and so the click below does not count
      box = now;
      drawing.hidden = false;
      place(drawing, box);
    };
    const end = () => {
      frame.removeEventListener("pointermove", move);
      drawing.hidden = true;
      if (box && box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST) choose("drawn", box);
    };
    frame.addEventListener("pointermove", move);
    frame.addEventListener("pointerup", end, { once: true });
    frame.addEventListener("pointercancel", end, { once: true });
  });

  const imagesIn = (files) => {
    const all = [...(files || [])], images = all.filter((file) => file.type.startsWith("image/"));
    return images.length ? images : all;
  };
  input.addEventListener("change", () => take([...input.files]));
  find(".whole").addEventListener("click", () => choose("whole", null));
  find(".remove").addEventListener("click", () => remove(active));
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  for (const end of ["dragleave", "drop"]) element.addEventListener(end, () => drop.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    take(imagesIn(event.dataTransfer.files));
  });
  document.addEventListener("paste", (event) => {
    const files = imagesIn(event.clipboardData?.files);
    if (files.length) take(files);
  });

  return {
    element,
    set(given) {
      items = given;
      active = items.length - 1;
      show();
    },
    focus: () => input.focus(),
    // Shows the picture in which it is not clear who is meant.
    complain(words, index) {
      if (index >= 0) active = index;
      show();
      problem.textContent = words;
    },
  };
}
