// How right P(match) is: of pairs that were told so likely to be one person, the share that was. Right is the diagonal.
import { percent, text } from "./language.js";

const SIZE = 320, LEFT = 52, RIGHT = 28, TOP = 12, BOTTOM = 46;
const TICKS = [0, 0.25, 0.5, 0.75, 1];
const LEAST_PX = 3, MOST_PX = 7; // radius of a point, by how many pairs it stands for

const across = (share) => LEFT + share * (SIZE - LEFT - RIGHT);
const up = (share) => SIZE - BOTTOM - share * (SIZE - TOP - BOTTOM);

// points: [{p_match, right, weight}], as the API has them.
export function reliabilityPlot(points) {
  const most = Math.max(...points.map((point) => point.weight));
  const said = points.map(({ p_match, right }) => text("reliability.point", { told: percent(p_match), right: percent(right) }));
  return draw("svg", { class: "reliability", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-label": `${text("reliability.label")}: ${said.join("; ")}` },
    ...TICKS.flatMap((tick) => [
      draw("line", { class: "grid", x1: across(tick), x2: across(tick), y1: up(0), y2: up(1) }),
      draw("line", { class: "grid", x1: across(0), x2: across(1), y1: up(tick), y2: up(tick) }),
      write(percent(tick), { x: across(tick), y: up(0) + 16, "text-anchor": "middle" }),
      write(percent(tick), { x: across(0) - 7, y: up(tick) + 4, "text-anchor": "end" }),
    ]),
    draw("line", { class: "right", x1: across(0), x2: across(1), y1: up(0), y2: up(1) }),
    draw("polyline", { class: "line", points: points.map(({ p_match, right }) => `${across(p_match)},${up(right)}`).join(" ") }),
    ...points.map(({ p_match, right, weight }, index) => {
      const point = draw("circle", { class: "point", cx: across(p_match), cy: up(right), r: LEAST_PX + (MOST_PX - LEAST_PX) * Math.sqrt(weight / most) });
      point.append(write(said[index], {}, "title"));
      return point;
    }),
    write(text("reliability.told"), { class: "axis", x: across(0.5), y: SIZE - 8, "text-anchor": "middle" }),
    write(text("reliability.right"), { class: "axis", x: 12, y: up(0.5), "text-anchor": "middle", transform: `rotate(-90 12 ${up(0.5)})` }));
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function write(words, attributes, tag = "text") {
  const node = draw(tag, attributes);
  node.textContent = words;
  return node;
}
