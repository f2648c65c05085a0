// Jobs of some kinds: what runs, with its progress and a way to end it; what waits; what is over, and what came of it.
import { address, ask, attempt, build, button } from "./base.js";
import { duration, moment, percent, text } from "./language.js";

const SHOWN = 6;        // that are over; the rest on request
const FOLLOWED = 2;     // at a time: a server runs one that writes and one that does not
const AGAIN_MS = 3000;  // until a server that has hung up is asked again
const TAGS = { running: "busy", done: "good", failed: "bad" };
const STEPS = { "reading images": "step.reading", training: "step.training", embedding: "step.embedding", indexing: "step.indexing", exporting: "step.exporting" };

export const isOver = (job) => ["done", "failed", "cancelled"].includes(job.state);

// How far a job is, in words: its step, the share that is done, the time left.
function howFar(job) {
  if (!job.total) return job.text || text("jobs.works");
  const step = STEPS[job.step] ? text(STEPS[job.step]) : job.step;
  return parts(`${step} ${percent(job.done / job.total)}`, timeLeft(job), job.text);
}

export const timeLeft = (job) => (job.left_s === null ? "" : text("jobs.left", { time: duration(job.left_s) }));
export const parts = (...words) => words.filter(Boolean).join(" · ");

// only(job): whether it is shown. title(job) and far(job): in words. came(job): what came of one that is over, as elements; links
// and buttons stand in a row below the others. again(job): whether it is worth doing again though it is done.
// changed(jobs): the list, whenever it is; over(job): one has ended.
export function jobList({
  kinds, only = () => true, heading = "jobs.title", title, far = howFar,
  came = () => [], again = () => false, changed = () => {}, over = () => {},
}) {
  const element = build(`
    <section class="jobs" data-label="jobs.title">
      <div class="head"><h2 data-text="${heading}"></h2></div>
      <p class="problem" role="alert"></p>
      <ol></ol>
      <button type="button" class="quiet rest" data-text="jobs.rest" hidden></button>
    </section>`);
  const problem = element.querySelector(".problem"), list = element.querySelector("ol"), rest = element.querySelector(".rest");
  const cards = new Map(), streams = new Map(), open = new Set();
  let jobs = [], all = false;

  function load() {
    return attempt(async () => {
      const answer = await ask("api/v1/jobs");
      show(answer.jobs.filter((job) => kinds.includes(job.kind) && only(job)));
    }, problem, false);
  }

  function show(given) {
    jobs = given;
    const ahead = jobs.filter((job) => !isOver(job)).reverse(), behind = jobs.filter(isOver);
    ahead.sort((a, b) => (b.state === "running") - (a.state === "running"));
    const shown = [...ahead, ...(all ? behind : behind.slice(0, SHOWN))];
    list.replaceChildren(...shown.map((job) => {
      if (!cards.has(job.id)) cards.set(job.id, card());
      cards.get(job.id).show(job);
      return cards.get(job.id).element;
    }));
    rest.hidden = all || behind.length <= SHOWN;
    element.hidden = !jobs.length;
    for (const id of streams.keys()) if (!ahead.some((job) => job.id === id)) hush(id);
    ahead.slice(0, FOLLOWED).forEach(follow);
    const ended = behind.filter((job) => open.delete(job.id));
    for (const job of ahead) open.add(job.id);
    changed(jobs);
    ended.forEach(over);
  }

  // What a job tells of itself, while the page is looked at: a browser keeps few such lines to one server.
  function follow(job) {
    if (document.hidden || streams.has(job.id)) return;
    const stream = new EventSource(address(job.events_url));
    streams.set(job.id, stream);
    stream.addEventListener("job", ({ data }) => {
      const now = JSON.parse(data);
      jobs = jobs.map((each) => (each.id === now.id ? now : each));
      if (isOver(now)) {
        hush(now.id);
        load();
        return;
      }
      cards.get(now.id)?.show(now);
      changed(jobs);
    });
    stream.addEventListener("error", () => {
      if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      hush(job.id);
      setTimeout(load, AGAIN_MS);
    });
  }

  function hush(id) {
    streams.get(id)?.close();
    streams.delete(id);
  }

  async function act(action) {
    await attempt(action, problem);
    const why = problem.textContent;
    await load();
    problem.textContent ||= why;
  }

  function card() {
    const node = build(`
      <li class="panel job">
        <div class="head"><h3></h3><span class="tag"></span><span class="when"></span></div>
        <div class="running"><span class="far"></span><button type="button" class="quiet cancel" data-text="jobs.cancel"></button>
          <progress class="progress" data-label="jobs.progress"></progress></div>
        <p class="problem"></p>
        <div class="came"></div>
        <div class="actions"></div>
        <details class="lines"><summary data-text="jobs.log"></summary><pre></pre></details>
      </li>`);
    const find = (selector) => node.querySelector(selector);
    let job = null;

    function show(now) {
      const same = job?.state === now.state;
      job = now;
      if (!same) anew();
      find(".far").textContent = job.state === "queued" ? text("jobs.waits") : far(job);
      const bar = find(".progress");
      if (job.total) [bar.max, bar.value] = [job.total, job.done];
      else bar.removeAttribute("value");
      find(".lines").hidden = !job.log.length;
      find("pre").textContent = job.log.join("\n");
    }

    function anew() {
      node.dataset.state = job.state;
      find("h3").textContent = title(job);
      find(".tag").textContent = text(`state.${job.state}`);
      find(".tag").className = `tag ${TAGS[job.state] || ""}`;
      find(".when").textContent = job.started ? parts(moment(job.started), isOver(job) ? duration(job.seconds) : "") : "";
      find(".running").hidden = isOver(job);
      find(".progress").hidden = job.state === "queued";
      find(".cancel").onclick = () => act(() => ask(`${job.url}/cancel`, { method: "POST" }));
      find(".problem").textContent = job.error ?? "";
      const made = job.result ? came(job) : [], does = (node) => ["A", "BUTTON"].includes(node.tagName);
      find(".came").replaceChildren(...made.filter((node) => !does(node)));
      find(".actions").replaceChildren(...made.filter(does), ...(isOver(job) ? doAgain() : []));
    }

    function doAgain() {
      const { kind, asked } = job;
      if (job.state !== "done") return [
        button("jobs.again", () => act(() => ask(`${job.url}/retry`, { method: "POST" }))),
        button("jobs.dismiss", () => act(() => ask(job.url, { method: "DELETE" }))),
      ];
      return again(job) ? [button("jobs.again", () => act(() => ask("api/v1/jobs", { json: { kind, ...asked } })))] : [];
    }

    return { element: node, show };
  }

  rest.addEventListener("click", () => {
    all = true;
    show(jobs);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) [...streams.keys()].forEach(hush);
    else load();
  });

  return {
    element,
    load,
    get jobs() {
      return jobs;
    },
    async begin(wanted) {
      await ask("api/v1/jobs", { json: wanted });
      await load();
    },
  };
}
