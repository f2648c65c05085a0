// What every component stands on. Text that others wrote (names of cameras, files, people) goes into the page by
// `textContent` only; markup is constant, and its words come from the table of the language.
import { text } from "./language.js";

// The server's root, also behind a proxy that puts it under a path.
export const root = new URL("../../", import.meta.url);

// The gallery that is shown, as the page's address names it; null: the server's only one.
export let gallery = new URLSearchParams(location.search).get("gallery");

// Of several galleries the address names one, so that it leads to the same one again. The first is shown without.
export function oneOf(galleries) {
  if (gallery !== null || galleries.length < 2) return;
  gallery = galleries[0].name;
  const here = new URL(location.href);
  here.searchParams.set("gallery", gallery);
  history.replaceState(history.state, "", here);
}

const OF_GALLERY = /^api\/v1\/(?!(galleries|me|users|keys|audit)\b)/; // the rest belongs to the server

// The address of a path such as "api/v1/cameras", in the gallery that is shown.
export function address(path) {
  const own = gallery === null ? path : path.replace(OF_GALLERY, `api/v1/galleries/${encodeURIComponent(gallery)}/`);
  return new URL(own, root).href;
}

// The address of a page, which shows the same gallery if no other one is said: link("", { tracklet }), link("browse").
export function link(path, values = {}) {
  const url = new URL(path, root);
  for (const [name, value] of Object.entries({ gallery, ...values }))
    for (const each of [value ?? []].flat()) url.searchParams.append(name, each);
  return url.href;
}

export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// The element that constant markup describes; data-text, data-title, data-label and data-placeholder name its words.
export function build(markup) {
  const template = document.createElement("template");
  template.innerHTML = markup.trim();
  const element = template.content.firstElementChild;
  for (const node of [element, ...element.querySelectorAll("*")]) {
    if (node.dataset.text) node.textContent = text(node.dataset.text);
    if (node.dataset.title) node.title = text(node.dataset.title);
    if (node.dataset.label) node.setAttribute("aria-label", text(node.dataset.label));
    if (node.dataset.placeholder) node.placeholder = text(node.dataset.placeholder);
  }
  return element;
}

export function button(key, action, properties = {}) {
  return make("button", { type: "button", className: "quiet", textContent: text(key), onclick: action, ...properties });
}

// Components talk by events on the document.
export function tell(name, detail = {}) {
  document.dispatchEvent(new CustomEvent(`reidapp:${name}`, { detail }));
}

export function hear(name, action) {
  document.addEventListener(`reidapp:${name}`, (event) => action(event.detail));
}

const PATIENCE = 3; // times that a server which has too much to do is asked again
const AT_ONCE_MS = 2000; // a full line refuses at once; for a database that lets nobody in the server has waited already

// As fetch. A server with too many searches says when to come again; each comes at a time of its own then, not all at once.
async function fetchInTurn(path, options) {
  for (let tries = 0; ; tries++) {
    const begun = performance.now();
    const answer = await fetch(path, options);
    const wait_s = Number(answer.headers.get("Retry-After")), refused = answer.status === 503 && performance.now() - begun < AT_ONCE_MS;
    if (!refused || !wait_s || tries === PATIENCE) return answer;
    await new Promise((go) => setTimeout(go, 1000 * wait_s * (0.5 + Math.random())));
  }
}

// What the server answers, read as JSON; an error has the server's own line as its message.
export async function ask(path, { json, ...options } = {}) {
  if (json !== undefined) {
    options = { method: "POST", ...options, body: JSON.stringify(json), headers: { "Content-Type": "application/json" } };
  }
  let answer;
  try {
    answer = await fetchInTurn(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(text("error.unreachable"));
  }
  const told = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok) return told;
  if (answer.status === 401) { // the session is over
    const here = location.pathname.slice(root.pathname.length - 1) + location.search;
    location.assign(new URL(`sign-in?next=${encodeURIComponent(here)}`, root));
  }
  throw Object.assign(new Error(told?.error || text("error.status", { status: answer.status })), { status: answer.status });
}

// Does something, and says in an element what was wrong; whether it went well. seen: the page is moved there.
export async function attempt(action, problem, seen = true) {
  problem.textContent = "";
  try {
    await action();
    return true;
  } catch (error) {
    problem.textContent = error.message;
    if (seen) problem.scrollIntoView({ block: "nearest" });
    return false;
  }
}

const AT_ONCE = 6;

// Answers to many requests, in order, with a few of them at a time under way.
export async function inTurns(items, work) {
  const answers = [], waiting = [...items.entries()];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let turn = waiting.shift(); turn; turn = waiting.shift()) answers[turn[0]] = await work(turn[1]);
  }));
  return answers;
}

export const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

// Kept while the browser's tab is open, so that another page can be visited in between.
const keptAs = (key) => ["reidapp", gallery, key].filter((part) => part !== null).join(".");

export function remember(key, value) {
  sessionStorage.setItem(keptAs(key), JSON.stringify(value));
}

export function remembered(key) {
  try {
    return JSON.parse(sessionStorage.getItem(keptAs(key)));
  } catch {
    return null;
  }
}
