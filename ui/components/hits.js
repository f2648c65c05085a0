// The hits as cards; a click opens the recording.
// value: {say, problem, command, hits: [{rank, crop, camera, time, date, zone, score, p_match, …}]}
const cards = element.querySelector(".cards");
const section = element.querySelector(".hits"), say = element.querySelector(".say"), problem = element.querySelector(".problem");
let hits = [];

onValue((value) => {
  if (!value) return;
  const first = !say.textContent && !problem.textContent;
  hits = value.hits;
  say.textContent = value.say;
  if (value.command) say.append(make("code", { className: "command", textContent: value.command }));
  problem.textContent = value.problem;
  section.classList.toggle("blank", !hits.length && !value.problem);
  cards.replaceChildren(...hits.map(card));
  tell("close", { focus: false });
  // On a narrow screen the answer to a search lies below the form.
  if (!first && section.getBoundingClientRect().top > window.innerHeight - 120) section.scrollIntoView({ behavior: "smooth" });
});

function card(hit, index) {
  const likely = hit.p_match ?? hit.score;
  const bar = make("span", { className: "bar" }, make("span"));
  bar.firstChild.style.width = `${Math.round(100 * likely)}%`;
  const button = make(
    "button",
    { type: "button", className: "card" },
    make(
      "span",
      { className: "shot" },
      make("img", { src: hit.crop, alt: "", loading: "lazy" }),
      make("span", { className: "rank", textContent: hit.rank }),
    ),
    make("span", { className: "score", title: hit.p_match === null ? "Similarity, 0 to 1" : "Probability of the same person" },
      bar, make("span", { textContent: likely.toFixed(2) })),
    make("span", { className: "camera", textContent: hit.camera, title: hit.camera }),
    make("span", { className: "time", textContent: hit.time, title: hit.zone }),
    make("span", { className: "date", textContent: hit.date }),
    ...[["time uncertain", hit.uncertain], ["recording gone", hit.gone]].filter(([, why]) => why)
      .map(([textContent, title]) => make("span", { className: "badge", textContent, title })),
  );
  button.setAttribute("aria-label",
    `Hit ${hit.rank}: camera ${hit.camera}, ${hit.date} ${hit.time}, score ${likely.toFixed(2)}` +
    [hit.uncertain, hit.gone].filter(Boolean).map((why) => `, ${why}`).join("") + ". Open the recording.");
  button.addEventListener("click", () => tell("open", { hits, index }));
  return make("li", {}, button);
}

const buttons = () => [...cards.querySelectorAll(".card")];

hear("open", ({ index }) => {
  for (const [at, button] of buttons().entries()) {
    if (at === index) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
});
hear("close", ({ focus }) => {
  const open = cards.querySelector("[aria-current]");
  open?.removeAttribute("aria-current");
  if (focus) open?.focus();
});

// Arrow keys walk through the grid, as in every picture browser.
cards.addEventListener("keydown", (event) => {
  const all = buttons(), at = all.indexOf(event.target);
  if (at < 0) return;
  const columns = all.filter((button) => button.offsetTop === all[0].offsetTop).length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (!step || !all[at + step]) return;
  event.preventDefault();
  all[at + step].focus();
});
