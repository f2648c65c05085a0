// A long list of rows of known heights, of which only those near the window's view are in the page.
import { make } from "./base.js";

const SPARE_PX = 500; // beyond the view, so that scrolling meets pictures that are there

// rows: [{height, draw}]; draw() makes the row's element, which is kept while it is near.
export function windowed(element) {
  let rows = [], tops = [], drawn = new Map(), asked = 0;

  function update() {
    asked = 0;
    const { top } = element.getBoundingClientRect();
    const from = -top - SPARE_PX, to = -top + window.innerHeight + SPARE_PX;
    const near = new Map();
    for (let at = first(from); at < rows.length && tops[at] < to; at += 1) {
      const row = drawn.get(at) || rows[at].draw();
      if (!row.isConnected) {
        row.style.top = `${tops[at]}px`;
        row.style.height = `${rows[at].height}px`;
        element.append(row);
      }
      near.set(at, row);
    }
    for (const [at, row] of drawn) if (!near.has(at) && !row.contains(document.activeElement)) row.remove();
      else near.set(at, row);
    drawn = near;
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
    show(given) {
      rows = given;
      let height = 0;
      tops = rows.map((row) => (height += row.height) - row.height);
      element.style.height = `${height}px`;
      element.replaceChildren();
      drawn = new Map();
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
    clear() {
      this.show([]);
    },
  };
}

// How many columns of at least a width fit, with a gap between.
export const columns = (element, least, gap) => Math.max(1, Math.floor((element.clientWidth + gap) / (least + gap)));

export const row = (className, ...children) => make("div", { className: `row ${className}` }, ...children);
