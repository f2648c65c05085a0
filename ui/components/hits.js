// Hits, or tracklets, as cards: in one grid, by camera or by day. A click opens the recording; see hit.js for a hit.
import { ask, build, make, hear, tell } from "./base.js";
import { cropUrl } from "./hit.js";
import { clock, day, number, percent, text, zoneName } from "./language.js";
import { columns, row, windowed } from "./rows.js";

const GAP = 12, HEAD = 44, CUT = 40;
const PREVIEW_MS = 380; // per best shot, while the pointer rests on a card
const LIKELY = 0.5;
const GROUPS = { cameras: (hit) => hit.camera, days: (hit) => day(hit.time, hit.zone) };

// actions: [[words' key, sign, action]] of a card; each is called with the hit's index, as `open` is.
export function hitList({ open, actions }) {
  const element = build(`
    <section class="hits" data-label="hits.label">
      <ol class="cards rows" data-label="hits.label"></ol>
    </section>`);
  const cards = element.querySelector(".cards"), list = windowed(cards);
  let hits = [], places = new Map(), view = "grid", at = 0, opened = null;

  function show(given = hits, chosenView = view) {
    hits = given;
    view = chosenView;
    at = Math.min(at, Math.max(hits.length - 1, 0));
    const narrow = window.innerWidth <= 640;
    const wide = columns(cards, narrow ? 112 : 142, GAP), scored = hits.some((hit) => hit.score !== null);
    const high = (narrow ? 246 : 304) - (scored ? 0 : 24) + GAP;
    places = new Map();
    const rows = [];
    const grid = (group) => {
      for (let from = 0; from < group.length; from += wide) {
        const some = group.slice(from, from + wide);
        for (const [column, index] of some.entries()) places.set(index, { row: rows.length, column });
        rows.push({
          height: high,
          draw: () => {
            const line = row("of-cards", ...some.map((index) => card(hits[index], index)));
            line.style.gridTemplateColumns = `repeat(${wide}, minmax(0, 1fr))`;
            return line;
          },
        });
      }
    };
    const everyone = hits.map((_, index) => index);
    if (view in GROUPS) {
      for (const [name, group] of Map.groupBy(everyone, (index) => GROUPS[view](hits[index]))) {
        rows.push({ height: HEAD, draw: () => head(name, group.length) });
        grid(group);
      }
    } else {
      const cut = hits.findIndex((hit) => hit.p !== null && hit.p < LIKELY);
      if (cut < 0) grid(everyone);
      else {
        grid(everyone.slice(0, cut));
        rows.push({ height: CUT, draw: () => row("cut", make("span", { textContent: text("hits.cut") })) });
        grid(everyone.slice(cut));
      }
    }
    list.show(rows);
  }

  const head = (name, count) =>
    row("head", make("strong", { textContent: name }), make("span", { textContent: text(view === "days" ? "facts.tracklets" : "hits.count", { count, number: number(count) }) }));

  function card(hit, index) {
    const time = `${clock(hit.time, hit.zone)} ${zoneName(hit.time, hit.zone)}`;
    const worth = hit.p !== null ? percent(hit.p) : hit.score !== null ? text("hits.similarity", { score: hit.score.toFixed(2) }) : "";
    const shot = make("span", { className: "shot" },
      make("img", { src: hit.crop, alt: "", loading: "lazy", decoding: "async" }),
      hit.rank ? make("span", { className: "rank", textContent: number(hit.rank) }) : null,
      hit.identity ? make("span", { className: "badge name", textContent: hit.identity, title: text("hits.identity") }) : null);
    const main = make("button", { type: "button", className: "card", tabIndex: index === at ? 0 : -1 },
      shot,
      worth ? score(hit, worth) : null,
      make("span", { className: "camera", textContent: hit.camera, title: hit.camera }),
      make("span", { className: "time", textContent: time, title: hit.zone }),
      make("span", { className: "date", textContent: day(hit.time, hit.zone) }),
      ...[["hits.uncertain", hit.uncertain], ["hits.gone", hit.gone]].filter(([, why]) => why)
        .map(([key, title]) => make("span", { className: "badge", textContent: text(key), title })));
    main.dataset.index = index;
    main.setAttribute("aria-label", text("hits.hit", {
      rank: index + 1, camera: hit.camera, time: `${day(hit.time, hit.zone)} ${time}`,
      more: [worth, hit.identity, hit.uncertain, hit.gone].filter(Boolean).map((why) => `${why}. `).join(""),
    }));
    if (hit.tracklet === opened) main.setAttribute("aria-current", "true");
    main.addEventListener("click", () => {
      at = index;
      open(index);
    });
    main.addEventListener("focus", () => current(index));
    preview(main, shot, hit);
    const buttons = actions.map(([key, sign, action]) => make("button", {
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
    const place = places.get(index);
    if (!place) return;
    list.reveal(place.row);
    current(index);
    cards.querySelector(`.card[data-index="${index}"]`)?.focus({ preventScroll: true });
  }

  // Arrow keys walk through the cards, as in every picture browser.
  cards.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("card") || event.ctrlKey || event.metaKey || event.altKey) return;
    const { row: line, column } = places.get(at);
    const vertical = (step) => {
      for (let next = line + step; next >= 0 && next < line + 4 && next > line - 4; next += step) {
        const there = [...places].filter(([, place]) => place.row === next).map(([index]) => index);
        if (there.length) return there[Math.min(column, there.length - 1)];
      }
      return at;
    };
    const order = [...places.keys()], place = order.indexOf(at);
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
export function bestShots(tracklet) {
  if (!shotsOf.has(tracklet)) {
    const shots = ask(`api/v1/tracklets/${tracklet}`).then((told) => told.crops.map((shot) => cropUrl(shot.id)), () => []);
    shotsOf.set(tracklet, shots);
  }
  return shotsOf.get(tracklet);
}
