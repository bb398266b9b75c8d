// Numbers, sizes and times as the reader's language writes them.
import { language, t } from ".";

/** Making a formatter costs a hundred times what using one does, and a table uses thousands. */
const made = new Map<string, unknown>();
function once<F>(key: string, make: (lang: string) => F): F {
  const full = `${language()} ${key}`;
  if (!made.has(full)) made.set(full, make(language()));
  return made.get(full) as F;
}
const plain = (digits: number) => once(`n${digits}`, (lang) => new Intl.NumberFormat(lang, { maximumFractionDigits: digits }));

export function number(n: number): string {
  return plain(3).format(n);
}

/** Bytes, in powers of two, with as many digits as help. */
export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  let value = n;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at++;
  }
  const digits = value >= 100 || at === 0 || Number.isInteger(value) ? 0 : 1;
  return `${plain(digits).format(value)} ${units[at]}`;
}

export const mib = (n: number | null | undefined) => bytes(n === null || n === undefined ? n : n * 1024 * 1024);
export const gib = (n: number | null | undefined) => bytes(n === null || n === undefined ? n : n * 1024 ** 3);

/** Services give times with and without a zone; all of them mean UTC. */
export function parse(time: string): Date {
  return new Date(/(Z|[+-]\d\d:?\d\d)$/.test(time) ? time : `${time}Z`);
}

export function when(time: string | null | undefined): string {
  if (!time) return "–";
  return once("when", (lang) => new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium" })).format(parse(time));
}

/** “14:30” of seconds of Unix time. */
export function clock(unix: number): string {
  return once("clock", (lang) => new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })).format(unix * 1000);
}

/** “3 minutes ago”: the largest unit that is not nothing. */
export function ago(time: string | null | undefined, now = Date.now()): string {
  if (!time) return "–";
  return agoSeconds((now - parse(time).getTime()) / 1000);
}

export function agoSeconds(s: number): string {
  if (s < 5) return t("time.now");
  const words = once("ago", (lang) => new Intl.RelativeTimeFormat(lang, { numeric: "always", style: "short" }));
  const [n, unit] = largest(s);
  return words.format(-n, unit);
}

/** “3 min”: how long something takes or may take. */
export function duration(s: number | null | undefined): string {
  if (s === null || s === undefined) return "–";
  const [n, unit] = largest(s);
  return once(unit, (lang) => new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "short" })).format(n);
}

function largest(s: number): [number, "second" | "minute" | "hour" | "day"] {
  if (s < 60) return [Math.round(s), "second"];
  if (s < 3600) return [Math.floor(s / 60), "minute"];
  if (s < 86400) return [Math.floor(s / 3600), "hour"];
  return [Math.floor(s / 86400), "day"];
}
