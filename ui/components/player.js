// Plays the recording of a hit from shortly before its moment, with the person's box drawn in step with the picture.
// A still is shown as it is; its only moment is 0.
const LEAD_S = 1.5;       // start this long before the hit's best moment
const LONGEST_GAP_S = 3;  // between two samples further apart the person was not seen: no box
const REACH_S = 0.3;      // the box stays this long around the first and the last sample

const find = (selector) => element.querySelector(selector);
const player = find(".player"), video = find("video"), still = find(".stage img"), canvas = find("canvas"), stage = find(".stage");
const problem = find(".problem"), clock = find(".clock");
let hits = [], at = 0, track = null, wanted = null, opened = 0;

hear("open", ({ hits: all, index }) => {
  hits = all;
  open(index);
});
hear("close", close);

async function open(index) {
  const turn = ++opened;
  at = index;
  const hit = hits[index];
  player.hidden = false;
  track = null;
  problem.textContent = clock.textContent = "";
  draw(0);
  find("h2").textContent = `${hit.rank} · ${hit.camera}`;
  find(".caption").replaceChildren(
    make("span", { textContent: `${hit.date}, ${hit.span}` }),
    make("span", { textContent: hit.zone }),
    make("span", { textContent: hit.file, title: hit.path }),
  );
  find("[data-go='-1']").disabled = index === 0;
  find("[data-go='1']").disabled = index === hits.length - 1;
  player.scrollIntoView({ block: "nearest", behavior: "smooth" });
  find("h2").focus({ preventScroll: true });
  wanted = Math.max(0, hit.best_s - LEAD_S);
  video.hidden = hit.still;
  still.hidden = !hit.still;
  for (const button of element.querySelectorAll("[data-step], .moment")) button.hidden = hit.still;
  still.removeAttribute("src");
  if (hit.gone || hit.still) {
    video.removeAttribute("src");
    video.load();
  }
  if (hit.gone) problem.textContent = `${hit.file}: ${hit.gone}`;
  else if (hit.still) still.src = hit.video;
  else if (video.getAttribute("src") === hit.video && video.readyState > 0) seekToWanted();
  else video.src = hit.video;
  try {
    const answer = await fetch(hit.track);
    const told = await answer.json();
    if (turn !== opened) return;
    if (!answer.ok) throw new Error(told.error);
    track = told;
    if (track.uncertain_time) find(".caption").append(make("span", { className: "warn", textContent: track.uncertain_time }));
    draw(video.currentTime);
  } catch (error) {
    if (turn === opened) problem.textContent = `The box cannot be shown: ${error.message}`;
  }
}

function close() {
  if (player.hidden) return;
  ++opened;
  player.hidden = true;
  track = null;
  video.pause();
  video.removeAttribute("src");
  video.load();
  if (document.fullscreenElement === stage) document.exitFullscreen();
}

function seekToWanted() {
  if (wanted === null) return;
  video.currentTime = wanted;
  wanted = null;
  video.play().catch(() => {}); // a browser may forbid it; the picture is there all the same
}

// The element that shows the recording, and the size of its picture.
function screen() {
  return hits[at]?.still ? [still, still.naturalWidth, still.naturalHeight] : [video, video.videoWidth, video.videoHeight];
}

// Where the picture lies inside the element: it keeps its shape, and bars fill the rest.
function picture() {
  const [{ clientWidth: width, clientHeight: height }, wide, high] = screen();
  const scale = Math.min(width / wide, height / high);
  const shown = { width: wide * scale, height: high * scale };
  return { left: (width - shown.width) / 2, top: (height - shown.height) / 2, ...shown };
}

// The box at a time: between two samples it moves evenly.
function boxAt(time) {
  const path = track?.path || [];
  if (!path.length || time < path[0][0] - REACH_S || time > path[path.length - 1][0] + REACH_S) return null;
  let next = path.findIndex((point) => point[0] >= time);
  if (next === 0) return path[0].slice(1);
  if (next < 0) return path[path.length - 1].slice(1);
  const [t0, ...from] = path[next - 1], [t1, ...to] = path[next];
  if (t1 - t0 > LONGEST_GAP_S) return time - t0 < REACH_S ? from : t1 - time < REACH_S ? to : null;
  const share = (time - t0) / (t1 - t0);
  return from.map((value, side) => value + share * (to[side] - value));
}

function draw(time) {
  const sharp = window.devicePixelRatio || 1;
  const [{ clientWidth, clientHeight }, wide] = screen();
  const width = Math.round(clientWidth * sharp), height = Math.round(clientHeight * sharp);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const box = boxAt(time);
  if (track) clock.textContent = clockAt(time);
  if (!box || !wide) return;
  const inside = picture();
  const [x1, y1, x2, y2] = box;
  const shape = [inside.left + x1 * inside.width, inside.top + y1 * inside.height, (x2 - x1) * inside.width, (y2 - y1) * inside.height];
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.lineJoin = "round";
  for (const [colour, thick] of [["rgba(0,0,0,.65)", 5], ["#ffb224", 2.5]]) { // dark below bright: seen on any picture
    pen.strokeStyle = colour;
    pen.lineWidth = thick;
    pen.strokeRect(...shape);
  }
  pen.setTransform(1, 0, 0, 1, 0, 0);
}

function clockAt(time) {
  const when = new Date(Date.parse(track.video_start) + 1000 * time);
  return when.toLocaleString("en-GB", { timeZone: track.zone, dateStyle: "medium", timeStyle: "medium" });
}

// mediaTime is the time stamp of the very frame on the screen; currentTime may be a frame or two ahead.
function onFrame(_, frame) {
  draw(frame.mediaTime);
  video.requestVideoFrameCallback(onFrame);
}
if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(onFrame);
else video.addEventListener("timeupdate", () => draw(video.currentTime));
video.addEventListener("seeked", () => draw(video.currentTime));
const resized = new ResizeObserver(() => draw(video.currentTime));
resized.observe(video);
resized.observe(still);

function shape() {
  const [, wide, high] = screen();
  stage.style.setProperty("--shape", `${wide} / ${high}`);
}
video.addEventListener("loadedmetadata", () => {
  shape();
  seekToWanted();
});
still.addEventListener("load", () => {
  shape();
  draw(0);
});
async function failed({ target }) {
  if (!target.getAttribute("src")) return;
  const turn = opened, source = target.src;
  const answer = await fetch(source, { method: "GET", headers: { Range: "bytes=0-0" } }).catch(() => null);
  const told = answer && !answer.ok ? (await answer.json().catch(() => ({}))).error : null;
  if (turn === opened) problem.textContent = told || "The browser cannot play this recording (its format is not supported).";
}
video.addEventListener("error", failed);
still.addEventListener("error", failed);

function go(step) {
  if (hits[at + step]) tell("open", { hits, index: at + step });
}
for (const button of element.querySelectorAll("[data-step]"))
  button.addEventListener("click", () => (video.currentTime += Number(button.dataset.step)));
for (const button of element.querySelectorAll("[data-go]"))
  button.addEventListener("click", () => go(Number(button.dataset.go)));
find(".moment").addEventListener("click", () => {
  wanted = Math.max(0, hits[at].best_s - LEAD_S);
  seekToWanted();
});
find(".full").addEventListener("click", () =>
  document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen());
find(".close").addEventListener("click", () => tell("close", { focus: true }));
player.addEventListener("keydown", (event) => event.key === "Escape" && tell("close", { focus: true }));
