// What every page has: the way to the others, the language, light or dark; and the keys, which are told on request.
import { build, gallery, link, make, oneOf, root } from "./base.js";
import { LANGUAGES, choose, language, text } from "./language.js";
import { forRole, greet, offers } from "./me.js";

const ROLES = { cases: "investigator", models: "investigator", indexing: "admin", admin: "admin" }; // whom a page is for

// The mark in the browser's tab, which would ask for one at the root of the host, where a proxy may have another site.
const ICON = "data:image/svg+xml," + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20" fill="none" stroke="#14b8a6" stroke-width="2"><rect x="1" y="1" width="18" height="18" rx="5"/><rect x="6" y="6" width="8" height="8" rx="1.5" fill="#14b8a6"/></svg>',
);

// about: {pages: {name: path below the root}, galleries: [{name, path}]}, those that are served.
export function frame(element, page, { pages, galleries }) {
  oneOf(galleries);
  const header = build(`
    <header class="top">
      <a class="brand"><span aria-hidden="true"></span><strong>reidapp</strong></a>
      <nav data-label="frame.pages"></nav>
      <span class="gap"></span>
      <label><span class="visually-hidden" data-text="frame.gallery"></span><select class="gallery" data-title="frame.gallery"></select></label>
      <button type="button" class="shade quiet" data-title="frame.shade" data-label="frame.shade">◐</button>
      <label><span class="visually-hidden" data-text="frame.language"></span><select class="language"></select></label>
    </header>`);
  const nav = header.querySelector("nav");
  header.querySelector(".brand").href = link("");
  for (const [name, path] of Object.entries(pages)) {
    const there = make("a", { href: link(path), textContent: text(`page.${name}`) });
    if (name === page) there.setAttribute("aria-current", "page");
    if (name in ROLES) there.dataset.role = ROLES[name];
    nav.append(there);
  }
  const shown = header.querySelector(".gallery");
  for (const { name } of galleries) shown.append(make("option", { value: name, textContent: name }));
  shown.value = gallery ?? galleries[0].name; // none is chosen where the address names one that is not there
  shown.closest("label").hidden = galleries.length < 2 && shown.value !== "";
  shown.addEventListener("change", () => (location.href = link(pages[page], { gallery: shown.value })));
  const languages = header.querySelector(".language");
  for (const [name, words] of Object.entries(LANGUAGES))
    languages.append(make("option", { value: name, textContent: words, selected: name === language }));
  languages.addEventListener("change", () => choose(languages.value));
  shade(localStorage.getItem("reidapp.shade"));
  header.querySelector(".shade").addEventListener("click", () => {
    const next = document.body.classList.contains("dark") ? "light" : "dark";
    localStorage.setItem("reidapp.shade", next);
    shade(next);
  });
  document.title = `${text(`page.${page}`)} · reidapp`;
  document.head.append(make("link", { rel: "icon", href: ICON }));
  element.replaceChildren(header);
  element.classList.add("app");
  const toCurrent = () => { // where not all pages have room
    const current = nav.querySelector("[aria-current]");
    if (current) nav.scrollLeft = current.offsetLeft + (current.offsetWidth - nav.clientWidth) / 2;
  };
  greet(element, header).then(toCurrent, () => {}); // it shows what is for some only; the page itself says what is wrong
  queueMicrotask(() => { // once the page has put its own part below the header
    element.append(foot());
    toCurrent();
  });
  return header;
}

function foot() {
  const footer = build(`
    <footer class="foot"><span data-text="frame.local"></span><a data-text="frame.api"></a></footer>`);
  footer.querySelector("a").href = new URL("api/v1/openapi.json", root).href;
  return footer;
}

function shade(name) {
  if (name) document.body.classList.toggle("dark", name === "dark");
}

const TYPED = "input:not([type=checkbox], [type=radio], [type=range]), select, textarea, dialog, [contenteditable]";

// keys: {key: [action, words' key, role]}; they work wherever nothing is being typed or asked, of a role for those who have it.
export function keys(table) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest(TYPED)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in table) || !offers(table[key][2])) return;
    event.preventDefault();
    table[key][0]();
  });
  return make("p", { className: "keys" }, ...Object.entries(table).filter(([, [, words]]) => words)
    .map(([key, [, words, role]]) => make("span", forRole(role), make("kbd", { textContent: key.toUpperCase() }), text(words))));
}
