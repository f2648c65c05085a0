// Takes a query picture, shows the people found in it, and lets one be chosen.
// value: null, or {id, box: [x1, y1, x2, y2] | null}.
const find = (selector) => element.querySelector(selector);
const drop = find(".drop"), input = find("input"), chosen = find(".chosen"), boxes = find(".boxes");
const image = find("img"), say = find(".say"), problem = find(".problem"), actions = find(".actions"), whole = find(".whole");
let query = null;
let asked = 0; // only the answer to the latest picture counts

async function take(file) {
  const turn = ++asked;
  problem.textContent = "";
  say.textContent = "Looking for people in the picture …";
  element.querySelector(".picker").setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(`media/query?name=${encodeURIComponent(file.name || "picture")}`, { method: "POST", body: file });
    const told = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
    if (turn !== asked) return;
    if (!answer.ok) throw new Error(told.error || `The server answered ${answer.status}.`);
    show(told);
  } catch (error) {
    if (turn !== asked) return;
    say.textContent = "";
    problem.textContent = error instanceof TypeError ? "The server does not answer; is `reidapp serve` still running?" : error.message;
    if (query) choose(null, "");
    clear();
  } finally {
    if (turn === asked) element.querySelector(".picker").removeAttribute("aria-busy");
  }
}

function show(told) {
  query = told;
  image.src = told.picture;
  image.width = told.width;
  image.height = told.height;
  drop.hidden = true;
  chosen.hidden = actions.hidden = false;
  boxes.replaceChildren(...told.people.map(boxButton));
  whole.hidden = told.people.length === 0;
  if (told.is_crop) choose(null, "A crop of one person: used whole.");
  else if (told.people.length === 0) choose(null, "No person was found in the picture, so all of it is used. A tighter crop finds more.");
  else if (told.people.length === 1) choose(0, "One person was found.");
  else choose(undefined, `${told.people.length} people were found. Click the one you mean.`);
}

function boxButton(person, index) {
  const [x1, y1, x2, y2] = person.box;
  const button = make("button", { type: "button", className: "box", "aria-label": `Person ${index + 1}`, "aria-pressed": "false" });
  button.append(make("span", { textContent: index + 1 }));
  button.classList.toggle("high", y1 < 0.08); // no room for the number above the box
  Object.assign(button.style, {
    left: `${100 * x1}%`, top: `${100 * y1}%`, width: `${100 * (x2 - x1)}%`, height: `${100 * (y2 - y1)}%`,
  });
  // Where boxes overlap the smaller one is on top, or it could not be clicked.
  button.style.zIndex = Math.round(1000 * (1 - (x2 - x1) * (y2 - y1)));
  button.addEventListener("click", () => choose(index, `Person ${index + 1} is meant.`));
  return button;
}

// index: of a person; null for the whole picture; undefined while nobody is chosen.
function choose(index, words) {
  for (const [at, button] of [...boxes.children].entries()) button.setAttribute("aria-pressed", String(at === index));
  boxes.classList.toggle("decided", Number.isInteger(index));
  whole.setAttribute("aria-pressed", String(index === null));
  say.textContent = words;
  if (!query || index === undefined) props.value = null;
  else props.value = { id: query.id, box: index === null ? null : query.people[index].box };
}

function clear() {
  query = null;
  props.value = null;
  input.value = "";
  drop.hidden = false;
  chosen.hidden = actions.hidden = true;
  boxes.replaceChildren();
  image.removeAttribute("src");
}

const imageIn = (list) => [...(list || [])].find((file) => file.type.startsWith("image/")) || [...(list || [])][0];

input.addEventListener("change", () => input.files[0] && take(input.files[0]));
whole.addEventListener("click", () => choose(null, "The whole picture is used."));
find(".other").addEventListener("click", () => {
  clear();
  say.textContent = problem.textContent = "";
  input.focus();
});
element.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
for (const end of ["dragleave", "drop"]) element.addEventListener(end, () => drop.classList.remove("over"));
element.addEventListener("drop", (event) => {
  event.preventDefault();
  const file = imageIn(event.dataTransfer.files);
  if (file) take(file);
});
document.addEventListener("paste", (event) => {
  const file = imageIn(event.clipboardData?.files);
  if (file) take(file);
});
