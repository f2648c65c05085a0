// Who looks at the page, and what they may do. What has data-role="investigator" or "admin" is shown to those who may.
import { ask, make, root } from "./base.js";
import { text } from "./language.js";

let asked = null;

// {name, role, may: [roles], cameras, after, before, heads, signs_in}.
export const me = () => (asked ??= ask("api/v1/me"));
// How they have recordings: whole, or clips of them, blurred or of a part, the time that they may see.
export async function recordings() {
  const { after, before, heads } = await me();
  return heads === "blurred" ? "blurred" : after || before ? "part" : "whole";
}

// What only those of a role are shown, as an attribute; and whether the page has been marked with that role, or none is asked for.
export const forRole = (role) => (role ? { "data-role": role } : {});
export const offers = (role) => !role || Boolean(document.querySelector(".page")?.dataset.may?.split(" ").includes(role));

// Marks the page with the roles, and says in its header who has signed in, with a way out.
export async function greet(page, header) {
  const { name, may, signs_in: signsIn } = await me();
  page.dataset.may = may.join(" ");
  if (!signsIn) return;
  const out = make("form", { method: "post", action: new URL("sign-out", root).href, className: "who" },
    make("a", { href: new URL("admin", root).href, textContent: name, title: text("frame.account") }),
    make("button", { className: "quiet", textContent: text("frame.signOut") }));
  out.addEventListener("submit", () => sessionStorage.clear()); // whoever comes next finds nothing of it
  header.querySelector(".gap").after(out);
}
