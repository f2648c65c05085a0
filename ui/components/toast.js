// A line that says what was done, for a few seconds, with a link or button beside it.
import { make } from "./base.js";

const STAYS_MS = 9000;
let shown = null, timer = 0;

export function toast(words, ...beside) {
  shown?.remove();
  clearTimeout(timer);
  shown = make("p", { className: "toast", role: "status" }, make("span", { textContent: words }), ...beside);
  document.querySelector(".page").append(shown);
  timer = setTimeout(() => shown.remove(), STAYS_MS);
}
