// The page's words, from one table per language in texts/ and from pages that bring their own; times as the language writes them.
export const LANGUAGES = { en: "English", zh: "中文" };

const preferred = [localStorage.getItem("reidapp.language"), ...navigator.languages].map((name) => name?.slice(0, 2).toLowerCase());
export const language = preferred.find((name) => name in LANGUAGES) || "en";
const locale = { en: "en-GB", zh: "zh-CN" }[language];
const table = await (await fetch(new URL(`../texts/${language}.json`, import.meta.url))).json();
document.documentElement.lang = locale;

export function choose(name) {
  localStorage.setItem("reidapp.language", name);
  location.reload();
}

// The words of a key, with {name} replaced by its value, and {name:hit|hits} by the word for one or for any other number.
export function text(key, values = {}) {
  const put = (_, name, one, many) => (many === undefined ? String(values[name] ?? "") : String(values[name]) === "1" ? one : many);
  return (table[key] ?? key).replace(/\{(\w+)(?::([^|{}]*)\|([^{}]*))?\}/g, put);
}

// Pages without a name in the tables bring their words: all of these are asked, for each page names the others at its top.
export async function learn(pages) {
  const own = Object.keys(pages).filter((name) => !(`page.${name}` in table));
  await Promise.all(own.map(async (name) => {
    try {
      const { words = {} } = await import(`../pages/${name}.js`);
      const taken = Object.keys({ ...words.en, ...words[language] }).filter((key) => key in table);
      if (taken.length) console.error(`ui/pages/${name}.js: there is a text of this name already: ${taken.join(", ")}`);
      Object.assign(table, { ...words.en, ...words[language], ...table }); // nothing that is there changes
    } catch (error) {
      console.error(`ui/pages/${name}.js`, error); // which is no reason to show no page
    }
  }));
}

// Who did something; without users it is whoever has opened the server's link.
export const doer = (name) => (name === "link" ? text("who.link") : name);

const formats = new Map();
function format(zone, options) {
  const key = JSON.stringify([zone, options]);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(locale, { timeZone: zone, hourCycle: "h23", ...options }));
  return formats.get(key);
}

// Times come as ISO 8601 or milliseconds, and are shown on the clock of a zone.
export const day = (time, zone) => format(zone, { day: "numeric", month: "short", year: "numeric" }).format(new Date(time));
export const clock = (time, zone) => format(zone, { timeStyle: "medium" }).format(new Date(time));
export const minutes = (time, zone) => format(zone, { hour: "2-digit", minute: "2-digit" }).format(new Date(time));
export const shortDay = (time, zone) => format(zone, { day: "numeric", month: "short" }).format(new Date(time));
// When somebody did something: on the clock of who reads it, which is not a camera's.
export const moment = (time) => `${day(time)}, ${clock(time)} ${zoneName(time)}`;
// Of a date without a time: 2026-03-02.
export const dayName = (date, options = { day: "numeric", month: "short", year: "numeric" }) =>
  format("UTC", options).format(new Date(`${date}T12:00:00Z`));
export const zoneName = (time, zone) =>
  format(zone, { hour: "numeric", timeZoneName: "short" }).formatToParts(new Date(time)).find((part) => part.type === "timeZoneName").value;
export const number = (value) => new Intl.NumberFormat(locale).format(value);
export const percent = (share, digits = 0) => new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: digits }).format(share);

const UNITS = ["B", "kB", "MB", "GB", "TB"];
export function bytes(size) {
  const power = Math.min(Math.floor(Math.log10(Math.max(size, 1)) / 3), UNITS.length - 1);
  return `${new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 }).format(size / 1000 ** power)} ${UNITS[power]}`;
}

export function span(start, end, zone) {
  const other = day(start, zone) === day(end, zone) ? "" : `${day(end, zone)}, `;
  const [from, to] = [clock(start, zone), other + clock(end, zone)];
  return from === to ? from : `${from} – ${to}`;
}

// As `datetime-local` fields have it: 2026-03-02T10:30:00 on the zone's clock.
export function wall(time, zone) {
  const parts = format(zone, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" })
    .formatToParts(new Date(time));
  const of = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${of.year}-${of.month}-${of.day}T${of.hour}:${of.minute}:${of.second}`;
}

// By how much a zone's clock is ahead of UTC at a time: milliseconds.
export const ahead = (time, zone) => Date.parse(`${wall(time, zone)}Z`) - Math.floor(time / 1000) * 1000;

// The time at which a zone's clock shows this: milliseconds. Twice, since the clock's lead is that of the time which is sought.
export function instant(local, zone) {
  const asUtc = Date.parse(`${local}Z`);
  return asUtc - ahead(asUtc - ahead(asUtc, zone), zone);
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return text("time.seconds", { seconds: whole });
  if (whole < 3600) return text("time.minutes", { minutes: Math.floor(whole / 60), seconds: whole % 60 });
  return text("time.hours", { hours: Math.floor(whole / 3600), minutes: Math.floor((whole % 3600) / 60) });
}
