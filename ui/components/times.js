// From and to, as the cameras' clocks show them.
// value: {recorded: {zone: words}, after, before, zone}; the last three are the user's.
const after = element.querySelector(".after"), before = element.querySelector(".before");
const zone = element.querySelector(".zone"), hint = element.querySelector(".hint");

function report() {
  props.value = { ...props.value, after: after.value, before: before.value, zone: zone.value };
  explain();
}

function explain() {
  hint.textContent = props.value.recorded[zone.value] || "";
}

for (const field of [after, before, zone]) field.addEventListener("change", report);
onValue((value) => {
  if (!value) return;
  const zones = Object.keys(value.recorded);
  if ([...zone.options].map((option) => option.value).join() !== zones.join())
    zone.replaceChildren(...zones.map((name) => make("option", { value: name, textContent: name })));
  element.querySelector(".zones").hidden = zones.length < 2;
  explain();
});
