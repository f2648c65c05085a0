// Hits, or tracklets, as cards: in one grid, by camera or by day. A click opens the recording; see hit.js for a hit.
import { ask, build, hear, make } from "./base.js";
import { cropUrl } from "./hit.js";
import { clock, day, number, percent, text, zoneName } from "./language.js";
import { forRole } from "./me.js";
import { columns, row, windowed } from "./rows.js";

const GAP = 12, HEAD = 44, CUT = 40;
const PREVIEW_MS = 380; // per best shot, while the pointer rests on a card
const LIKELY = 0.5;
const GROUPS = { cameras: (hit) => hit.camera, days: (hit) => (hit.day ??= day(hit.start, hit.zone)) };

// actions: [[words' key, sign, action, role]] of a card; each is called with the hit's index, as `open` is, by who has the role.
export function hitList({ open, actions }) {
  const element = build(`
    <section class="hits" data-label="hits.label">
      <ol class="cards rows" data-label="hits.label"></ol>
    </section>`);
  const cards = element.querySelector(".cards"), list = windowed(cards);
  let hits = [], view = "grid", at = 0, opened = null;
  let order = [], placeOf = []; // indices of hits as they are shown, and the other way round
  let lines = [];               // {row, from, count}: rows of cards, and which places they have

  function show(given = hits, chosenView = view) {
    hits = given;
    view = chosenView;
    at = Math.min(at, Math.max(hits.length - 1, 0));
    list.show(laid());
  }

  function laid() {
    const narrow = window.innerWidth <= 640;
    const wide = columns(cards, narrow ? 112 : 142, GAP), scored = hits.some((hit) => hit.score !== null);
    const high = (narrow ? 246 : 304) - (scored ? 0 : 24) - (view === "days" ? 18 : 0) + GAP; // a day stands above its hits
    const rows = [];
    [order, lines] = [[], []];
    const grid = (group) => {
      for (let from = 0; from < group.length; from += wide) {
        const some = group.slice(from, from + wide);
        lines.push({ row: rows.length, from: order.length, count: some.length });
        order.push(...some);
        rows.push({ height: high, pictures: some.length, key: some.join(), draw: () => line(some, wide) });
      }
    };
    const everyone = hits.map((_, index) => index);
    if (view in GROUPS) {
      for (const [name, group] of Map.groupBy(everyone, (index) => GROUPS[view](hits[index]))) {
        rows.push({ height: HEAD, pictures: 0, key: `${name} ${group.length}`, draw: () => head(name, group.length) });
        grid(group);
      }
    } else {
      const cut = hits.findIndex((hit) => hit.p !== null && hit.p < LIKELY);
      if (cut < 0) grid(everyone);
      else {
        grid(everyone.slice(0, cut));
        rows.push({ height: CUT, pictures: 0, draw: () => row("cut", make("span", { textContent: text("hits.cut") })) });
        grid(everyone.slice(cut));
      }
    }
    placeOf = new Uint32Array(hits.length);
    order.forEach((index, place) => (placeOf[index] = place));
    return rows;
  }

  function line(some, wide) {
    const cards = row("of-cards", ...some.map((index) => card(hits[index], index)));
    cards.style.gridTemplateColumns = `repeat(${wide}, minmax(0, 1fr))`;
    return cards;
  }

  // Among the lines, the one that has a hit.
  function lineOf(index) {
    let low = 0, high = lines.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (lines[middle].from <= placeOf[index]) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  const head = (name, count) =>
    row("head", make("strong", { textContent: name }), make("span", { textContent: text(view === "days" ? "facts.tracklets" : "hits.count", { count, number: number(count) }) }));

  function card(hit, index) {
    const time = `${clock(hit.start, hit.zone)} ${zoneName(hit.start, hit.zone)}`;
    const worth = hit.p !== null ? percent(hit.p) : hit.score !== null ? text("hits.similarity", { score: hit.score.toFixed(2) }) : "";
    const shot = make("span", { className: "shot" },
      hit.crop ? make("img", { src: hit.crop, alt: "", decoding: "async" }) : make("span", { className: "no-picture" }),
      hit.rank ? make("span", { className: "rank", textContent: number(hit.rank) }) : null,
      hit.identity ? make("span", { className: "badge name", textContent: hit.identity, title: text("hits.identity") }) : null);
    const main = make("button", { type: "button", className: "card", tabIndex: index === at ? 0 : -1 },
      shot,
      worth ? score(hit, worth) : null,
      make("span", { className: "camera", textContent: hit.camera, title: hit.camera }),
      make("span", { className: "time", textContent: time, title: hit.zone }),
      view === "days" ? null : make("span", { className: "date", textContent: day(hit.start, hit.zone) }),
      ...[["hits.uncertain", hit.uncertain], ["hits.gone", hit.gone]].filter(([, why]) => why)
        .map(([key, title]) => make("span", { className: "badge", textContent: text(key), title })));
    main.dataset.index = index;
    main.setAttribute("aria-label", text("hits.hit", {
      rank: index + 1, camera: hit.camera, time: `${day(hit.start, hit.zone)} ${time}`,
      more: [worth, hit.identity, hit.uncertain, hit.gone].filter(Boolean).map((why) => `${why}. `).join(""),
    }));
    if (hit.tracklet === opened) main.setAttribute("aria-current", "true");
    main.addEventListener("click", () => {
      at = index;
      open(index);
    });
    main.addEventListener("focus", () => current(index));
    preview(main, shot, hit);
    const buttons = actions.map(([key, sign, action, role]) => make("button", {
      ...forRole(role),
      type: "button", textContent: sign, title: text(key), tabIndex: -1, onclick: () => action(index), "data-action": key,
      "aria-label": `${text(key)}: ${text("hits.rank", { rank: index + 1 })}`,
    }));
    return make("div", { className: "hit", role: "listitem" }, main, make("div", { className: "judge" }, ...buttons));
  }

  function score(hit, worth) {
    if (hit.p === null) return make("span", { className: "score plain", textContent: worth, title: text("hits.plain") });
    const bar = make("span", { className: "bar" }, make("span"));
    bar.firstChild.style.width = percentWidth(hit.p);
    return make("span", { className: "score", title: text("hits.probability") }, bar, make("span", { textContent: worth }));
  }
  const percentWidth = (share) => `${Math.round(100 * share)}%`;

  // While the pointer rests on a card, its tracklet's best shots follow each other.
  function preview(main, shot, hit) {
    let timer = 0;
    const image = shot.firstChild;
    main.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "mouse") return;
      timer = setTimeout(async () => {
        const shots = await bestShots(hit.tracklet);
        if (!timer || shots.length < 2) return;
        let turn = 0;
        timer = setInterval(() => (image.src = shots[++turn % shots.length]), PREVIEW_MS);
      }, PREVIEW_MS);
    });
    main.addEventListener("pointerleave", () => {
      clearInterval(timer);
      clearTimeout(timer);
      timer = 0;
      if (hit.crop && !image.src.endsWith(hit.crop)) image.src = hit.crop;
    });
  }

  function current(index) {
    at = index;
    for (const other of cards.querySelectorAll(".card")) other.tabIndex = Number(other.dataset.index) === at ? 0 : -1;
  }

  function focus(index) {
    if (!(index in placeOf)) return;
    list.reveal(lines[lineOf(index)].row);
    current(index);
    cards.querySelector(`.card[data-index="${index}"]`)?.focus({ preventScroll: true });
  }

  // Arrow keys walk through the cards, as in every picture browser.
  cards.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("card") || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = placeOf[at], own = lineOf(at);
    const vertical = (step) => {
      const other = lines[own + step];
      return other && order[other.from + Math.min(place - lines[own].from, other.count - 1)];
    };
    const next = {
      ArrowRight: () => order[place + 1], ArrowLeft: () => order[place - 1],
      ArrowDown: () => vertical(1), ArrowUp: () => vertical(-1), Home: () => order[0], End: () => order.at(-1),
    }[event.key]?.();
    if (next === undefined) return;
    event.preventDefault();
    focus(next);
  });

  hear("open", ({ hits: all, index }) => mark(all[index].tracklet));
  hear("close", ({ focus: back }) => {
    mark(null);
    if (back) focus(at);
  });
  function mark(tracklet) {
    opened = tracklet;
    for (const main of cards.querySelectorAll(".card")) {
      if (hits[main.dataset.index]?.tracklet === opened) main.setAttribute("aria-current", "true");
      else main.removeAttribute("aria-current");
    }
  }
  let width = 0;
  new ResizeObserver(() => {
    if (cards.clientWidth && cards.clientWidth !== width) show();
    width = cards.clientWidth;
  }).observe(cards);

  return {
    element,
    show,
    // More hits stand at the end of those that are shown.
    grow() {
      list.show(laid(), true);
    },
    focus,
    get at() {
      return at;
    },
    toFirst() {
      at = 0;
    },
  };
}

const shotsOf = new Map();
function bestShots(tracklet) {
  if (!shotsOf.has(tracklet)) {
    const shots = ask(`api/v1/tracklets/${tracklet}`).then((told) => told.crops.map((shot) => cropUrl(shot.id)), () => []);
    shotsOf.set(tracklet, shots);
  }
  return shotsOf.get(tracklet);
}
