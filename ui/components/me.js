// Who looks at the page, and what they may do. What has data-role="investigator" or "admin" is shown to those who may.
import { ask, make, root } from "./base.js";
import { text } from "./language.js";

let asked = null;

// {name, role, may: [roles], cameras, after, before, signs_in}.
export const me = () => (asked ??= ask("api/v1/me"));
export const can = async (role) => (await me()).may.includes(role);

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
