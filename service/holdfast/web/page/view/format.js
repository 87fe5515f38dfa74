/* Times in the reader's language. */

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const relativeDay = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const DAY_MS = 86_400_000;

function daysAgo(at) {
  return Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / DAY_MS);
}

export function timeOf(at) {
  return clock.format(at);
}

export function dayOf(at) {
  const ago = daysAgo(at);
  if (ago > 1) return day.format(at);
  const text = relativeDay.format(-ago, "day");
  return text[0].toLocaleUpperCase() + text.slice(1);
}

export function shortly(at) {
  return daysAgo(at) === 0 ? clock.format(at) : date.format(at);
}
