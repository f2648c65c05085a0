// Admin: who gets in and what they may see, API keys, how long is kept what was seen, and the log of what was done.
import { ask, attempt, build, button, make, root } from "../components/base.js";
import { sure } from "../components/dialog.js";
import { frame } from "../components/frame.js";
import { jobList } from "../components/jobs.js";
import { clock, day, doer, instant, number, text, wall, zoneName } from "../components/language.js";
import { me } from "../components/me.js";

const ROLES = ["viewer", "investigator", "admin"];
const HEADS = ["", "shown", "blurred"]; // the first: as the role has it
const ROWS = 50; // of the log at a time
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const when = (time) => `${day(time, zone)} ${clock(time, zone)}`;

export async function start(element, about) {
  frame(element, "admin", about);
  const page = build(`
    <main class="admin">
      <div class="summary"><h1 data-text="admin.title"></h1><p class="told" role="status"></p></div>
      <p class="problem" role="alert"></p>
      <section class="panel users" data-role="admin"><h2 data-text="admin.users"></h2><p class="hint not-yet"></p>
        <div class="table"><table><thead><tr><th data-text="admin.name"></th><th data-text="admin.role"></th><th data-text="admin.sees"></th><th></th></tr></thead><tbody></tbody></table></div></section>
      <section class="panel keys-of" data-role="admin"><h2 data-text="admin.keys"></h2><p class="hint" data-text="admin.keysHint"></p>
        <div class="table"><table><thead><tr><th data-text="admin.name"></th><th data-text="admin.role"></th><th data-text="admin.sees"></th><th data-text="admin.until"></th><th></th></tr></thead><tbody></tbody></table></div>
        <p class="say"></p><code class="command fresh" hidden></code></section>
      <section class="panel rights" data-role="admin"><h2></h2>
        <form class="form" autocomplete="off">
          <div class="segments" role="group" data-label="admin.add">
            <button type="button" class="quiet" data-kind="user" data-text="admin.aUser"></button>
            <button type="button" class="quiet" data-kind="key" data-text="admin.aKey"></button></div>
          <div class="fields">
            <label class="field"><span data-text="admin.name"></span><input name="name" maxlength="100" required spellcheck="false"></label>
            <label class="field of-user"><span data-text="admin.password"></span><input type="password" name="password" autocomplete="new-password" minlength="10"><span class="hint"></span></label>
            <label class="field of-key"><span data-text="admin.days"></span><input type="number" name="days" min="1" max="3650" value="90"></label>
            <label class="field"><span data-text="admin.role"></span><select name="role"></select><span class="hint role-hint"></span></label>
            <label class="field"><span data-text="admin.heads"></span><select name="heads"></select></label></div>
          <fieldset class="field"><span data-text="admin.cameras"></span><div class="ticks"></div><span class="hint" data-text="admin.camerasHint"></span></fieldset>
          <div class="fields">
            <label class="field"><span data-text="admin.after"></span><input type="datetime-local" name="after" step="1"></label>
            <label class="field"><span data-text="admin.before"></span><input type="datetime-local" name="before" step="1"></label></div>
          <p class="hint of-zone"></p>
          <p class="problem refused" role="alert"></p>
          <div class="actions"><button class="primary"></button></div>
        </form></section>
      <div class="panels">
      <section class="panel own" hidden><h2 data-text="admin.own"></h2>
        <form class="form"><div class="fields">
          <label class="field"><span data-text="admin.old"></span><input type="password" name="password" autocomplete="current-password" required></label>
          <label class="field"><span data-text="admin.new"></span><input type="password" name="new" autocomplete="new-password" minlength="10" required></label></div>
          <div class="actions"><button class="quiet" data-text="admin.change"></button></div></form></section>
      <section class="panel keeping" data-role="admin"><h2 data-text="admin.retention"></h2>
        <form class="form"><label class="field"><span data-text="admin.keepDays"></span><input type="number" name="days" min="1" max="36500" data-placeholder="admin.forEver"><span class="hint"></span></label>
          <div class="actions"><button class="quiet" data-text="admin.change"></button></div></form></section>
      </div>
      <section class="panel audit" data-role="admin"><h2 data-text="admin.log"></h2><p class="hint" data-text="admin.logHint"></p>
        <div class="actions"><button type="button" class="quiet verify" data-text="admin.verify"></button></div>
        <p class="say" role="status"></p><p class="problem" role="alert"></p>
        <div class="table"><table><thead><tr><th class="count">#</th><th data-text="admin.at"></th><th data-text="admin.who"></th><th data-text="admin.what"></th><th data-text="admin.about"></th></tr></thead><tbody></tbody></table></div>
        <div class="actions older" hidden><button type="button" class="quiet" data-text="admin.older"></button></div></section>
    </main>`);
  element.append(page);
  const find = (selector) => page.querySelector(selector);
  const rights = find(".rights"), form = rights.querySelector("form"), ticks = rights.querySelector(".ticks");
  let kind = "user", changed = null, known = [];

  const act = (action, problem = find(".problem")) => attempt(action, problem);

  const own = await me();
  find(".own").hidden = !own.signs_in;
  find(".summary .told").textContent = text("admin.you", { name: own.name, role: text(`role.${own.role}`) });
  find(".own form").addEventListener("submit", (event) => {
    event.preventDefault();
    const { password, new: fresh } = event.target.elements;
    act(async () => {
      await ask("api/v1/me/password", { json: { password: password.value, new: fresh.value } });
      location.assign(new URL("sign-in", root));
    });
  });
  if (own.may.includes("admin")) await administer();
  page.classList.add("ready");

  async function administer() {
    const gone = jobList({
      kinds: ["retention", "erase"],
      heading: "admin.deleting",
      title: ({ kind }) => text(`work.${kind}`),
      came: ({ result }) => [make("p", { textContent: text("admin.went", { count: (result.outdated ?? result).tracklets ?? 0 }) })],
    });
    find(".panel.audit").before(gone.element);
    for (const role of ROLES) form.elements.role.append(make("option", { value: role, textContent: text(`role.${role}`) }));
    for (const heads of HEADS) form.elements.heads.append(make("option", { value: heads, textContent: text(`heads.${heads || "role"}`) }));
    form.elements.role.addEventListener("change", hint);
    rights.querySelector(".of-zone").textContent = text("admin.clock", { zone: zoneName(Date.now(), zone) });
    for (const each of rights.querySelectorAll("[data-kind]")) each.addEventListener("click", () => begin(each.dataset.kind));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      act(save, rights.querySelector(".refused"));
    });
    find(".keeping form").addEventListener("submit", (event) => {
      event.preventDefault();
      const days = Number(event.target.elements.days.value) || null;
      act(async () => keeps(await ask("api/v1/retention", { method: "PUT", json: { days } })));
    });
    find(".verify").addEventListener("click", () => act(verify, find(".audit .problem")));
    find(".older button").addEventListener("click", () => act(() => entries(Number(find(".audit tbody tr:last-child th")?.textContent) || null)));
    await act(async () => {
      const { cameras, groups } = await ask("api/v1/cameras");
      known = [...new Set([...cameras.map((camera) => camera.name), ...Object.keys(groups)])];
      await Promise.all([users(), keys(), ask("api/v1/retention").then(keeps), gone.load(), entries()]);
      begin("user");
    });
  }

  async function users() {
    const { users: found, in_use: inUse } = await ask("api/v1/users");
    find(".not-yet").textContent = inUse ? "" : text("admin.notYet");
    find(".users .table").hidden = !found.length;
    find(".users tbody").replaceChildren(...found.map((user) => row(user, user.name === own.name && own.signs_in ? [] : [
      button("admin.change", () => begin("user", user)),
      button("admin.remove", () => remove("users", user.name), { className: "quiet danger" }),
    ])));
  }

  async function keys() {
    const { keys: found } = await ask("api/v1/keys");
    find(".keys-of .table").hidden = !found.length;
    find(".keys-of tbody").replaceChildren(...found.map((key) =>
      row(key, [button("admin.revoke", () => remove("keys", key.name), { className: "quiet danger" })], when(key.expires))));
  }

  function row({ name, role, cameras, after, before, heads }, does, until) {
    const sees = [cameras ? cameras.join(", ") || text("admin.noCamera") : text("admin.all")];
    if (after || before) sees.push(`${after ? when(after) : "…"} – ${before ? when(before) : "…"}`);
    if (heads) sees.push(text(`heads.${heads}`));
    return make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: text(`role.${role}`) }),
      make("td", { textContent: sees.join(" · ") }), until && make("td", { textContent: until }),
      make("td", { className: "does" }, make("div", { className: "actions" }, ...does)));
  }

  // The form for somebody new, or with what somebody may do now.
  function begin(of, user = null) {
    kind = of;
    changed = user;
    form.reset();
    rights.querySelector(".refused").textContent = "";
    rights.querySelector("h2").textContent = user ? text("admin.changeOf", { name: user.name }) : text("admin.add");
    form.querySelector(".primary").textContent = text(user ? "admin.change" : "admin.add");
    for (const each of rights.querySelectorAll("[data-kind]")) each.setAttribute("aria-pressed", String(!user && each.dataset.kind === of));
    rights.querySelector(".of-user").hidden = of !== "user";
    rights.querySelector(".of-key").hidden = of !== "key";
    const { name, password, role, after, before, heads } = form.elements;
    name.value = user?.name ?? "";
    name.readOnly = Boolean(user);
    password.required = of === "user" && !user;
    password.nextElementSibling.textContent = text(user ? "admin.passwordKept" : "admin.passwordHint");
    role.value = user?.role ?? "viewer";
    heads.value = user?.heads ?? "";
    after.value = user?.after ? wall(user.after, zone) : "";
    before.value = user?.before ? wall(user.before, zone) : "";
    const chosen = user?.cameras ?? [];
    ticks.replaceChildren(...[...new Set([...known, ...chosen])].map((camera) =>
      make("label", {}, make("input", { type: "checkbox", value: camera, checked: chosen.includes(camera) }), camera)));
    hint();
    if (user) {
      rights.scrollIntoView({ block: "center" });
      role.focus();
    }
  }

  function hint() {
    rights.querySelector(".role-hint").textContent = text(`may.${form.elements.role.value}`);
  }

  async function save() {
    const { name, password, role, after, before, heads, days } = form.elements;
    const cameras = [...ticks.querySelectorAll(":checked")].map((tick) => tick.value);
    const time = (field) => (field.value ? new Date(instant(field.value, zone)).toISOString() : null);
    const json = { role: role.value, cameras: cameras.length || changed?.cameras?.length === 0 ? cameras : null, after: time(after), before: time(before), heads: heads.value || null };
    const path = encodeURIComponent(name.value);
    if (changed) {
      await ask(`api/v1/users/${path}`, { method: "PATCH", json });
      if (password.value) await ask(`api/v1/users/${path}/password`, { json: { password: password.value } });
    } else if (kind === "user") {
      await ask("api/v1/users", { json: { ...json, name: name.value, password: password.value } });
    } else {
      const { key } = await ask("api/v1/keys", { json: { ...json, name: name.value, days: Number(days.value) } });
      find(".keys-of .say").textContent = text("admin.once", { name: name.value });
      Object.assign(find(".fresh"), { textContent: key, hidden: false });
      find(".keys-of").scrollIntoView({ block: "center" });
    }
    begin(kind);
    await Promise.all([users(), keys(), entries()]);
  }

  async function remove(what, name) {
    if (!await sure(text(`gone.${what}`, { name }), what === "users" ? "admin.remove" : "admin.revoke")) return;
    await act(async () => {
      await ask(`api/v1/${what}/${encodeURIComponent(name)}`, { method: "DELETE" });
      await Promise.all([users(), keys(), entries()]);
    });
  }

  function keeps({ days, outdated }) {
    const field = find(".keeping input");
    field.value = days ?? "";
    field.nextElementSibling.textContent = days ? text("admin.outdated", { count: outdated }) : "";
  }

  async function entries(before = null) {
    const { entries: found } = await ask(`api/v1/audit?limit=${ROWS}${before ? `&before=${before}` : ""}`);
    const rows = found.map(({ n, at, by, name, action, about: more }) => make("tr", {},
      make("th", { scope: "row", className: "count", textContent: String(n) }), make("td", { textContent: when(at) }),
      make("td", { textContent: name ?? doer(by) }), make("td", { textContent: action }),
      make("td", { className: "about", textContent: Object.entries(more).map(([key, value]) => `${key} ${value}`).join(" · ") })));
    if (before) find(".audit tbody").append(...rows);
    else find(".audit tbody").replaceChildren(...rows);
    find(".older").hidden = found.length < ROWS;
    find(".audit .table").hidden = !find(".audit tbody").children.length;
  }

  async function verify() {
    const say = find(".audit .say");
    say.textContent = text("admin.verifying");
    const { rows, head, broken } = await ask("api/v1/audit/verify", { json: {} });
    say.textContent = broken ? "" : text("admin.whole", { rows: number(rows), head });
    if (broken) throw new Error(text("admin.broken", { broken }));
  }
}
