// A question before something is done that is hard to take back.
import { make } from "./base.js";
import { text } from "./language.js";

// Whether the user is sure: `action` is the key of the button's words. Esc, like Cancel, means no.
export function sure(words, action) {
  const dialog = make("dialog", { className: "dialog" },
    make("p", { textContent: words }),
    make("form", { method: "dialog", className: "actions" },
      make("button", { className: "quiet", value: "no", textContent: text("dialog.cancel") }),
      make("button", { className: "quiet danger", value: "yes", textContent: text(action) })));
  document.querySelector(".page").append(dialog);
  dialog.showModal();
  return new Promise((answer) => dialog.addEventListener("close", () => {
    dialog.remove();
    answer(dialog.returnValue === "yes");
  }));
}
