// Times and durations in words, short enough for a table.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `just now`, `5 min ago`, `in 3 h`, `yesterday` … of an RFC 3339 time. */
export function relative(time: string, now: number): string {
  const then = Date.parse(time);
  if (Number.isNaN(then)) return time;
  const past = now - then;
  const size = Math.abs(past);
  if (size < 45_000) return past >= 0 ? "just now" : "in a moment";
  const [count, unit] =
    size < 90 * MINUTE
      ? [Math.round(size / MINUTE), "min"]
      : size < 36 * HOUR
        ? [Math.round(size / HOUR), "h"]
        : [Math.round(size / DAY), "d"];
  if (unit === "d" && count > 30) return absoluteDate(then, now);
  return past >= 0 ? `${count} ${unit} ago` : `in ${count} ${unit}`;
}

function absoluteDate(time: number, now: number): string {
  const date = new Date(time);
  const sameYear = date.getFullYear() === new Date(now).getFullYear();
  return date.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    year: sameYear ? undefined : "numeric",
  });
}

/** The exact time, for a tooltip. */
export function absolute(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  return date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

/** `0.4s`, `12s`, `3m 05s`, `2h 07m`, `3d 4h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) ms = 0;
  if (ms < 950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${pad(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h ${pad(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** Milliseconds between two times; `now` while it has not ended; null before it began. */
export function elapsed(start: string | null, end: string | null, now: number): number | null {
  if (start === null) return null;
  return Math.max(0, (end === null ? now : Date.parse(end)) - Date.parse(start));
}

/** A setting in seconds as a person would say it: `15 min`, `30 days`. */
export function span(seconds: number): string {
  const units: [number, string][] = [
    [86_400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
  ];
  for (const [size, name] of units) {
    if (seconds >= size && seconds % size === 0) {
      const count = seconds / size;
      return `${count} ${name}${count === 1 ? "" : "s"}`;
    }
  }
  return `${seconds} seconds`;
}
