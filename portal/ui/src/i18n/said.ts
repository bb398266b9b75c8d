// What the server says of its own work, in the reader's language: by the codes that `/hanok/v1` gives beside its
// sentences. What has none (QEMU's own words, a BMC's, a newer server's) stands as a quotation on pages in another language.
import { fill, language, wordFor } from ".";
import { said as dictionary } from "./catalogue/said";
import { number, when } from "./format";
import { foreign, quoted } from "./quote";

export interface Said { code: string; args: Record<string, string | Said[]> }
/** What has sentences, and their codes by field. */
export interface Says { said?: Record<string, Said[]> }

const words = dictionary as Record<string, readonly [string, string]>;

/** One field's sentence. */
export function told<T extends Says>(of: T, field: keyof T & string): string {
  const text = of[field];
  const plain = typeof text === "string" ? text : "";
  return (of.said?.[field] && inWords(of.said[field])) ?? foreign(plain.replaceAll("`", ""));
}

/** Holes whose text is somebody else's. */
const THEIRS = new Set(["says", "said", "why", "cause", "last", "words", "output", "error", "trouble", "wire", "facts"]);

/** Whether a field's sentence has words in every language. */
export const isTold = <T extends Says>(of: T, field: keyof T & string): boolean => Boolean(of.said?.[field] && inWords(of.said[field]));

/** Sentences one after another; null where one has no words. */
export function inWords(list: Said[]): string | null {
  let all = "";
  for (const one of list) {
    const pair = words[one.code];
    if (!pair) return null;
    const values: Record<string, string> = {};
    for (const [name, arg] of Object.entries(one.args)) values[name] = typeof arg === "string" ? part(name, arg) : (inWords(arg) ?? "").replace(/\.$/, "");
    const text = fill(pair[language() === "en" ? 0 : 1], values, language()).replaceAll("`", "");
    all += (all === "" ? "" : /[.?!]$/.test(all) ? " " : ", ") + text;
  }
  return all;
}

function part(name: string, text: string): string {
  if (/^\d{4}-\d\d-\d\dT/.test(text)) return when(text);
  if (/^\d+$/.test(text)) return number(Number(text));
  if (name === "kind") return wordFor("kind", text);
  if (name === "task") return taskOf(text);
  if (name === "state") return stateOf(text);
  if (THEIRS.has(name) && quoted(text) !== text) return quoted(text);
  return language() === "ko" ? text.replace(/ and (\d+) more$/, " 외 $1") : text;
}

/** A state of a life-cycle, of a server or of a machine, as it is called or as it is written down. */
function stateOf(text: string): string {
  const name = /[A-Za-z][A-Za-z ]*/.exec(text)?.[0] ?? text;
  const job = wordFor("job", name);
  return job === name ? wordFor("state", name.toLowerCase().replaceAll(" ", "_")) : job;
}

/** What is under way at a server. */
export function taskOf(task: string): string {
  const name = task.replaceAll("-", "_");
  const word = wordFor("task", name);
  return word === name ? name.replaceAll("_", " ") : word;
}

/** How far something's life-cycle is. */
export const jobState = (state: unknown): string => wordFor("job", typeof state === "string" ? state : Object.keys((state ?? {}) as object)[0] ?? "");
