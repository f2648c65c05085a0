onValue((facts) => {
  const line = element.querySelector(".facts");
  line.replaceChildren(...(facts || []).map(([text, title]) => make("span", { textContent: text, title })));
});
