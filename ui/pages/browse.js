// Browse: which time of which camera is indexed, and who was seen then; a search starts from anybody.
import { ask, build, link, tell } from "../components/base.js";
import { coverageMap } from "../components/coverage.js";
import { emptyGallery } from "../components/empty.js";
import { frame } from "../components/frame.js";
import { ofEntry } from "../components/hit.js";
import { hitList } from "../components/hits.js";
import { intoCase } from "../components/intocase.js";
import { number, text } from "../components/language.js";
import { player } from "../components/player.js";

const PAGE = 500;        // tracklets that are asked for at a time
const NEAR_PX = 2500;    // of the wall's end: more are asked for

export async function start(element, about) {
  frame(element, "browse", about);
  const page = build(`
    <main class="browse">
      <div class="summary"><h1 data-text="browse.title"></h1></div>
      <p class="problem" role="alert"></p>
      <div class="wall-head" hidden><h2 data-text="browse.wall"></h2><span class="where"></span><span class="told" role="status"></span>
        <button type="button" class="quiet" data-text="browse.everything" hidden></button></div>
    </main>`);
  element.append(page);
  const find = (selector) => page.querySelector(selector);
  const problem = find(".problem"), told = find(".told"), head = find(".wall-head"), everything = head.querySelector("button");
  let wall = [], next = null, loading = null;

  const search = (hit) => (location.href = link("", { tracklet: hit.tracklet }));
  const into = (hits) => intoCase(hits.map((hit) => ({ hit })));
  const show = player({ judge() {}, similar: search, keep: (hit) => into([hit]) });
  const list = hitList({
    open: (index) => tell("open", { hits: wall, index }),
    actions: [
      ["browse.search", "≈", (index) => search(wall[index])],
      ["into.this", "+", (index) => into([wall[index]]), "investigator"],
    ],
  });
  const map = coverageMap(choose);
  head.before(map.element);
  page.append(show.element, list.element);

  let filters = new URLSearchParams();
  async function choose({ camera, after, before, words }) {
    filters = new URLSearchParams(Object.entries({ camera, after, before }).filter(([, value]) => value));
    find(".where").textContent = words;
    everything.hidden = ![...filters.keys()].length;
    [wall, next] = [[], null];
    tell("close", { focus: false });
    list.show(wall, "days");
    await more(null);
  }

  async function more(after) {
    loading?.abort();
    const turn = (loading = new AbortController());
    problem.textContent = "";
    told.textContent = text("browse.more");
    try {
      const asked = new URLSearchParams(filters);
      asked.set("limit", PAGE);
      if (after) asked.set("page", after);
      const { tracklets, next: following } = await ask(`api/v1/tracklets?${asked}`, { signal: turn.signal });
      if (turn !== loading) return;
      wall.push(...tracklets.filter((entry) => entry.crop).map(ofEntry));
      next = following;
      list.grow();
      const count = { number: number(wall.length) };
      told.textContent = wall.length ? text(next ? "browse.count" : "browse.total", count) : text("browse.nobody");
    } catch (error) {
      if (error.name !== "AbortError") problem.textContent = error.message;
    } finally {
      if (turn === loading) loading = null;
    }
  }

  window.addEventListener("scroll", () => {
    if (next && !loading && document.documentElement.scrollHeight - window.scrollY - window.innerHeight < NEAR_PX) more(next);
  }, { passive: true });
  everything.addEventListener("click", () => map.clear());

  try {
    const { cameras } = await ask("api/v1/cameras");
    if (cameras.length) {
      head.hidden = false;
      await map.show(cameras);
    } else {
      map.element.hidden = true;
      page.append(emptyGallery(about));
    }
  } catch (error) {
    problem.textContent = error.message;
  }
  page.classList.add("ready");
}
