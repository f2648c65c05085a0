// Prepended to every component's script. Text goes into the page by `textContent` only: names of cameras and files are
// other people's text.
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function tell(name, detail = {}) {
  document.dispatchEvent(new CustomEvent(`reidapp:${name}`, { detail }));
}

function hear(name, action) {
  document.addEventListener(`reidapp:${name}`, (event) => action(event.detail));
}

// A value may come before or after this script: act on both.
function onValue(action) {
  watch("value", () => action(props.value));
  action(props.value);
}
