// What every page has: the way to the others, the language, light or dark; and the keys, which are told on request.
import { build, make, root } from "./base.js";
import { LANGUAGES, choose, language, text } from "./language.js";

// pages: {name: path below the root}.
export function frame(element, page, pages) {
  const header = build(`
    <header class="top">
      <a class="brand"><span aria-hidden="true"></span><strong>reidapp</strong></a>
      <nav data-label="frame.pages"></nav>
      <span class="gap"></span>
      <button type="button" class="shade quiet" data-title="frame.shade" data-label="frame.shade">◐</button>
      <label><span class="visually-hidden" data-text="frame.language"></span><select class="language"></select></label>
    </header>`);
  header.querySelector(".brand").href = root.href;
  for (const [name, path] of Object.entries(pages)) {
    const link = make("a", { href: new URL(path, root).href, textContent: text(`page.${name}`) });
    if (name === page) link.setAttribute("aria-current", "page");
    header.querySelector("nav").append(link);
  }
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
  element.replaceChildren(header);
  element.classList.add("app");
  return header;
}

function shade(name) {
  if (name) document.body.classList.toggle("dark", name === "dark");
}

// keys: {key: [action, words' key]}; they work wherever nothing is being typed.
export function keys(table) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, [contenteditable]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in table)) return;
    event.preventDefault();
    table[key][0]();
  });
  return make("p", { className: "keys" }, ...Object.entries(table).filter(([, [, words]]) => words)
    .map(([key, [, words]]) => make("span", {}, make("kbd", { textContent: key.toUpperCase() }), text(words))));
}
