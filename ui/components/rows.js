// A long list of rows of known heights, of which only those near the window's view are in the page.
import { make } from "./base.js";

const SPARE_PX = 500; // beyond the view, so that scrolling meets pictures that are there
const MOST = 140;     // pictures of a list at once, however large the window is

// rows: [{height, draw, pictures = 1, key}]; draw() makes the row's element, which is kept while it is near.
export function windowed(element) {
  let rows = [], tops = [], drawn = new Map(), asked = 0;

  function update() {
    asked = 0;
    const near = new Map();
    for (const at of wanted()) {
      const row = drawn.get(at) || rows[at].draw();
      Object.assign(row.style, { top: `${tops[at]}px`, height: `${rows[at].height}px` });
      near.set(at, row);
    }
    for (const [at, row] of drawn) {
      if (near.has(at)) continue;
      if (row.contains(document.activeElement)) near.set(at, row);
      else leave(row);
    }
    drawn = near;
    let below = null; // they stand in the page in their order, as a keyboard and a reader go through them
    for (const [, row] of [...near].sort(([a], [b]) => b - a)) {
      if (!row.isConnected) element.insertBefore(row, below);
      below = row;
    }
  }

  // The rows in view, and those beside it as far as the pictures go, the nearest to its middle first.
  function wanted() {
    const half = window.innerHeight / 2, middle = half - element.getBoundingClientRect().top;
    const places = [];
    for (let at = first(middle - half - SPARE_PX); at < rows.length && tops[at] < middle + half + SPARE_PX; at += 1) places.push(at);
    const away = (at) => Math.abs(tops[at] + rows[at].height / 2 - middle);
    let pictures = 0;
    return places.sort((a, b) => away(a) - away(b)).filter((at) => (pictures += rows[at].pictures ?? 1) <= MOST);
  }

  // The first row that ends below a height.
  function first(height) {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle] + rows[middle].height < height) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function soon() {
    asked ||= requestAnimationFrame(update);
  }
  window.addEventListener("scroll", soon, { passive: true });
  window.addEventListener("resize", soon);

  return {
    // grown: rows that have the same key at the same place as before show the same, and stay.
    show(given, grown = false) {
      const before = { rows, tops };
      let height = 0;
      rows = given;
      tops = rows.map((row) => (height += row.height) - row.height);
      element.style.height = `${height}px`;
      for (const [at, row] of drawn) {
        if (grown && rows[at]?.key === before.rows[at].key && tops[at] === before.tops[at]) continue;
        leave(row);
        drawn.delete(at);
      }
      update();
    },
    // Brings a row into view, and into the page.
    reveal(at) {
      const top = element.getBoundingClientRect().top + tops[at];
      const below = top + rows[at].height - window.innerHeight;
      if (top < 60) window.scrollBy({ top: top - 60 });
      else if (below > 0) window.scrollBy({ top: below + 12 });
      update();
    },
  };
}

// Pictures that are on their way are no longer asked for: who scrolls fast would wait for all that was passed.
function leave(row) {
  row.remove();
  for (const image of row.querySelectorAll("img")) if (!image.complete) image.removeAttribute("src");
}

// How many columns of at least a width fit, with a gap between.
export const columns = (element, least, gap) => Math.max(1, Math.floor((element.clientWidth + gap) / (least + gap)));

export const row = (className, ...children) => make("div", { className: `row ${className}` }, ...children);
