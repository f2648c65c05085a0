// Plays the recording of a hit from shortly before its moment, with the person's box drawn in step with the picture.
// Of what the browser cannot play, the server converts the part around the hit. A still is shown as it is; its only moment is 0.
import { ask, build, clamp, hear, make, tell } from "./base.js";
import { bestShot } from "./hit.js";
import { clock, day, span, text } from "./language.js";
import { recordings } from "./me.js";

const LEAD_S = 1.5;       // start this long before the person appears,
const LONGEST_S = 8;      // but not much longer before the moment of the hit's picture
const LONGEST_GAP_S = 3;  // between two samples further apart the person was not seen: no box
const REACH_S = 0.3;      // the box stays this long around the first and the last sample
const TOLD = { whole: "player.converted", blurred: "player.blurred", part: "player.part" }; // of a clip, by how they have recordings
const SPEEDS = [0.25, 0.5, 1, 2, 4];

// judge(hit, verdict) and similar(hit) do what they are called; so do, where they are given, keep(hit), which puts it into a
// case, and unsure: whether that is a verdict too.
export function player({ judge, similar, keep = null, unsure = false }) {
  const element = build(`
    <section class="player" data-label="player.label" hidden>
      <div class="head">
        <h2 tabindex="-1"></h2>
        <span class="steps">
          <button type="button" data-go="-1" data-label="player.previous">‹ <span data-text="player.previousShort"></span></button>
          <button type="button" data-go="1" data-label="player.next"><span data-text="player.nextShort"></span> ›</button>
        </span>
        <button type="button" class="close quiet" data-label="player.close" data-title="player.close">✕</button>
      </div>
      <div class="stage">
        <div class="screen">
          <video muted playsinline preload="auto" disablepictureinpicture></video>
          <img alt="" hidden>
          <canvas aria-hidden="true"></canvas>
          <p class="clock"></p>
        </div>
        <div class="seek">
          <button type="button" class="toggle" data-label="player.play"></button>
          <input type="range" min="0" step="0.1" value="0" data-label="player.seek">
        </div>
      </div>
      <p class="say" role="status"></p>
      <p class="problem" role="alert"></p>
      <div class="controls">
        <button type="button" data-step="-5" data-text="player.back"></button>
        <button type="button" class="moment" data-text="player.moment"></button>
        <button type="button" data-step="5" data-text="player.forth"></button>
        <label class="speed"><span data-text="player.speed"></span> <select></select></label>
        <button type="button" class="full" data-text="player.full"></button>
        <span class="gap"></span>
        <span class="verdicts">
          <button type="button" data-say="yes" data-title="keys.yes">✓ <span data-text="hits.yes"></span></button>
          <button type="button" data-say="no" data-title="keys.no">✕ <span data-text="hits.no"></span></button>
          <button type="button" data-say="unsure" data-title="keys.unsure">? <span data-text="hits.unsure"></span></button>
        </span>
        <span class="verdicts">
          <button type="button" class="similar" data-title="keys.similar">≈ <span data-text="hits.similar"></span></button>
          <button type="button" class="into" data-role="investigator" data-title="keys.case">+ <span data-text="hits.case"></span></button>
        </span>
      </div>
      <p class="caption"></p>
    </section>`);
  const find = (selector) => element.querySelector(selector);
  const video = find("video"), still = find(".stage img"), canvas = find("canvas"), stage = find(".stage");
  const say = find(".say"), problem = find(".problem"), dial = find(".clock"), speed = find("select");
  const toggle = find(".toggle"), seek = find(".seek input");
  if (!unsure) find("[data-say=unsure]").remove();
  if (!keep) find(".into").remove();
  for (const each of SPEEDS) speed.append(make("option", { value: each, textContent: `${each}×`, selected: each === 1 }));
  let hits = [], at = 0, track = null, wanted = null, opened = 0;
  let have = "whole"; // how they have recordings
  let shift = 0;      // what is played begins at this second of the recording: 0, or where its clip does
  let frame = null;   // the time stamp of the frame on the screen, where the browser tells

  hear("open", ({ hits: all, index }) => {
    hits = all;
    open(index);
  });
  hear("close", close);

  async function open(index) {
    const turn = ++opened;
    at = index;
    const hit = hits[index];
    element.hidden = false;
    track = null;
    say.textContent = problem.textContent = dial.textContent = "";
    draw(0);
    find("h2").textContent = text("player.title", { rank: index + 1, camera: hit.camera });
    find(".caption").replaceChildren(
      make("span", { textContent: from(hit, hit) }),
      make("span", { textContent: hit.zone }),
      hit.file ? make("span", { textContent: hit.file }) : "",
      hit.uncertain ? make("span", { className: "warn", textContent: hit.uncertain }) : "",
    );
    find("[data-go='-1']").disabled = index === 0;
    find("[data-go='1']").disabled = index === hits.length - 1;
    find(".verdicts").hidden = !hit.judgeable;
    mark();
    element.scrollIntoView({ block: "nearest" });
    if (!element.contains(document.activeElement)) find("h2").focus({ preventScroll: true });
    const unknown = hit.start_s === null;
    wanted = unknown ? null : beginning(hit);
    video.hidden = hit.still;
    still.hidden = !hit.still;
    for (const node of element.querySelectorAll("[data-step], .moment, .speed, .seek")) node.hidden = hit.still;
    still.removeAttribute("src");
    have = await recordings().catch(() => "whole"); // what is wrong, the recording itself says
    if (turn !== opened) return;
    if (hit.gone || hit.still || have !== "whole") unload();
    if (hit.gone) problem.textContent = `${hit.file}: ${hit.gone}`;
    else if (hit.still) still.src = hit.video;
    else if (shift === 0 && video.src === hit.video && video.readyState > 0 && !video.error) seekToWanted();
    else if (have === "whole") play(hit.video, 0);
    try {
      const told = await ask(hit.track);
      if (turn !== opened) return;
      track = told;
      find(".caption").firstChild.textContent = from(hit, track); // lists of tracklets have the end of a part only
      hit.start_s ??= track.start_s;
      hit.best_s ??= bestShot(track)?.time_s ?? track.start_s;
      if (unknown) jump(beginning(hit));
      if (have !== "whole" && !hit.gone && !hit.still) playClip("player.making");
      range();
      draw(shown());
    } catch (error) {
      if (turn === opened && unknown && hit.best_s !== null) jump(beginning(hit));
      if (turn === opened) problem.textContent = text("player.noBox", { why: error.message });
    }
  }

  const from = ({ zone }, { start, end }) => `${day(start, zone)}, ${span(start, end, zone)}`;

  // What is said of the hit that plays.
  function mark() {
    for (const each of element.querySelectorAll("[data-say]"))
      each.setAttribute("aria-pressed", String(hits[at]?.verdict === each.dataset.say));
  }

  const beginning = ({ start_s, best_s }) => Math.max(0, Math.max(start_s ?? best_s, best_s - LONGEST_S) - LEAD_S);

  function jump(seconds) {
    wanted = seconds;
    if (video.readyState > 0) seekToWanted(); // else once it is known how long the recording is
  }

  function play(source, from) {
    shift = from;
    video.src = source;
  }

  function unload() {
    video.removeAttribute("src");
    video.load();
    shift = 0;
  }

  function close() {
    if (element.hidden) return;
    ++opened;
    element.hidden = true;
    track = null;
    video.pause();
    unload();
    if (document.fullscreenElement === stage) document.exitFullscreen();
  }

  const shown = () => (frame ?? video.currentTime) + shift; // the time, in the recording, of what is on the screen

  function playOrPause() {
    if (video.paused) video.play().catch(() => {});
    else video.pause();
  }

  function playing() {
    toggle.setAttribute("aria-label", text(video.paused ? "player.play" : "player.pause"));
    toggle.classList.toggle("on", !video.paused);
  }

  // How much there is to play, and where in it the hit is.
  function range() {
    if (!Number.isFinite(video.duration)) return;
    seek.max = video.duration;
    const share = (time) => `${clamp((100 * (time - shift)) / video.duration, 0, 100)}%`;
    seek.style.setProperty("--from", track ? share(track.start_s) : "0%");
    seek.style.setProperty("--to", track ? share(track.end_s) : "0%");
    place();
  }

  function place() {
    seek.value = video.currentTime;
    const when = dial.textContent;
    if (when) seek.setAttribute("aria-valuetext", when);
  }

  function seekToWanted() {
    if (wanted === null) return;
    video.currentTime = Math.max(0, wanted - shift);
    video.playbackRate = Number(speed.value);
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
    const inside = { width: wide * scale, height: high * scale };
    return { left: (width - inside.width) / 2, top: (height - inside.height) / 2, ...inside };
  }

  // The box at a time: between two samples it moves evenly.
  function boxAt(time) {
    const path = track?.path || [];
    if (!path.length || time < path[0].time_s - REACH_S || time > path.at(-1).time_s + REACH_S) return null;
    const next = path.findIndex((point) => point.time_s >= time);
    if (next === 0) return path[0].box;
    if (next < 0) return path.at(-1).box;
    const { time_s: t0, box: from } = path[next - 1], { time_s: t1, box: to } = path[next];
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
    if (track) {
      const when = Date.parse(track.video_start) + 1000 * time;
      dial.textContent = `${day(when, track.zone)}, ${clock(when, track.zone)}`;
    }
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

  // mediaTime is the time stamp of the very frame on the screen; currentTime may be a frame or two ahead.
  function onFrame(_, { mediaTime }) {
    frame = mediaTime;
    draw(shown());
    video.requestVideoFrameCallback(onFrame);
  }
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(onFrame);
  else video.addEventListener("timeupdate", () => draw(shown()));
  // Until a frame is told of after a seek, which a busy browser does late, the time that was sought is the best guess.
  for (const change of ["emptied", "seeking"]) video.addEventListener(change, () => (frame = null));
  video.addEventListener("seeked", () => draw(shown()));
  const resized = new ResizeObserver(() => draw(shown()));
  resized.observe(video);
  resized.observe(still);

  function shape() {
    const [, wide, high] = screen();
    if (wide) stage.style.setProperty("--shape", `${wide} / ${high}`);
  }
  video.addEventListener("loadedmetadata", () => {
    shape();
    // Sound that a browser can play, in a recording whose picture it cannot.
    if (!video.videoWidth) return failed();
    range();
    if (video.src !== hits[at].video) say.textContent = text(TOLD[have]);
    seekToWanted();
  });
  still.addEventListener("load", () => {
    shape();
    draw(0);
  });

  // The server converts the part around the hit, in a format that every browser plays.
  async function failed() {
    const turn = opened, hit = hits[at];
    if (!video.getAttribute("src")) return;
    const why = await refusal(video.src);
    if (turn !== opened) return;
    if (why || video.src !== hit.video) {
      say.textContent = "";
      problem.textContent = why || text("player.cannot");
      return;
    }
    try {
      track ??= await ask(hit.track);
    } catch (error) {
      problem.textContent = error.message;
    }
    if (turn !== opened || !track) return;
    playClip("player.converting");
  }

  // words: what is said until it comes.
  function playClip(words) {
    say.textContent = text(words);
    wanted = beginning(hits[at]);
    play(hits[at].clip, track.clip_start_s);
  }

  async function refusal(source) {
    const answer = await fetch(source, { headers: { Range: "bytes=0-0" } }).catch(() => null);
    if (!answer) return text("error.unreachable");
    return answer.ok ? null : (await answer.json().catch(() => ({}))).error || text("error.status", { status: answer.status });
  }
  video.addEventListener("error", failed);
  still.addEventListener("error", async () => {
    if (still.getAttribute("src")) problem.textContent = (await refusal(still.src)) || text("player.cannot");
  });

  function go(step) {
    if (hits[at + step]) tell("open", { hits, index: at + step });
  }
  for (const button of element.querySelectorAll("[data-step]"))
    button.addEventListener("click", () => (video.currentTime += Number(button.dataset.step)));
  for (const button of element.querySelectorAll("[data-go]"))
    button.addEventListener("click", () => go(Number(button.dataset.go)));
  for (const button of element.querySelectorAll("[data-say]"))
    button.addEventListener("click", () => judge(hits[at], button.dataset.say));
  find(".similar").addEventListener("click", () => similar(hits[at]));
  find(".into")?.addEventListener("click", () => keep(hits[at]));
  toggle.addEventListener("click", playOrPause);
  video.addEventListener("click", playOrPause);
  for (const change of ["play", "pause", "emptied"]) video.addEventListener(change, playing);
  for (const change of ["timeupdate", "seeked"]) video.addEventListener(change, place);
  seek.addEventListener("input", () => (video.currentTime = Number(seek.value)));
  speed.addEventListener("change", () => (video.playbackRate = Number(speed.value)));
  find(".moment").addEventListener("click", () => jump(hits[at].best_s ?? hits[at].start_s ?? 0));
  find(".full").addEventListener("click", () =>
    document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen());
  find(".close").addEventListener("click", () => tell("close", { focus: true }));
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") tell("close", { focus: true });
    if (event.key !== " " || event.target.closest("button, select")) return; // those have a use for it
    event.preventDefault();
    playOrPause();
  });

  return {
    element,
    go,
    mark,
    step: (seconds) => (video.currentTime += seconds),
    // The hit that is open, or null.
    get hit() {
      return element.hidden ? null : hits[at];
    },
  };
}
