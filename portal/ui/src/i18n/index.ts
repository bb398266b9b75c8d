// Two languages, side by side in one catalogue: [English, Korean]. A key that lacks one does not compile.
import { useSyncExternalStore } from "react";
import { catalogue } from "./catalogue";

export type Key = keyof typeof catalogue;
export type Lang = "en" | "ko";
export type Values = Record<string, string | number>;

const STORED = "hanok.lang";
const listeners = new Set<() => void>();
let lang: Lang = first();

function first(): Lang {
  const kept = typeof localStorage === "undefined" ? null : localStorage.getItem(STORED);
  if (kept === "en" || kept === "ko") return kept;
  return typeof navigator !== "undefined" && navigator.language.startsWith("ko") ? "ko" : "en";
}

export function language(): Lang {
  return lang;
}

export function setLanguage(next: Lang) {
  lang = next;
  localStorage.setItem(STORED, next);
  document.documentElement.lang = next;
  listeners.forEach((tell) => tell());
}

export function useLanguage(): Lang {
  return useSyncExternalStore((tell) => (listeners.add(tell), () => listeners.delete(tell)), language);
}

/** The text for a key. `{n}` is put in by the locale's rules; `{one|many}` after it picks by plural in English. */
export function t(key: Key, values?: Values): string {
  return fill(catalogue[key][lang === "en" ? 0 : 1], values, lang);
}

const formats: Partial<Record<Lang, Intl.NumberFormat>> = {};

export function fill(text: string, values: Values | undefined, by: Lang): string {
  if (!values) return text;
  const numbers = (formats[by] ??= new Intl.NumberFormat(by));
  return text
    .replace(/\{(\w+)\}/g, (all, name: string) => {
      const value = values[name];
      return value === undefined ? all : typeof value === "number" ? numbers.format(value) : value;
    })
    .replace(/\{([^{}|]*)\|([^{}|]*)\}/g, (_, one: string, many: string) => (values.n === 1 ? one : many))
    .replace(JOSA, (_, last: string, josa: string) => last + josaAfter(last, josa));
}

/** Particles that depend on how the word before them ends are written in both forms: 서버을(를). */
const JOSA = /(.)(을\(를\)|은\(는\)|이\(가\)|과\(와\)|\(으\)로)/gu;
const forms: Record<string, readonly [closed: string, open: string]> = {
  "을(를)": ["을", "를"], "은(는)": ["은", "는"], "이(가)": ["이", "가"], "과(와)": ["과", "와"], "(으)로": ["으로", "로"],
};

function josaAfter(last: string, josa: string): string {
  const [closed, open] = forms[josa]!;
  const code = last.charCodeAt(0) - 0xac00;
  // The last sound: of a syllable its final consonant (8 is ㄹ), of a digit or letter that of its name.
  const final = code >= 0 && code < 11172 ? code % 28 : /[036mn]/i.test(last) ? 1 : /[178lr]/i.test(last) ? 8 : 0;
  return final === 0 || (final === 8 && josa === "(으)로") ? open : closed;
}

/** Words for what a service named by a word of its own, or that word. */
export const wordFor = (group: string, word: string): string => (known(`${group}.${word}`) ? t(`${group}.${word}` as Key) : word);

/** Whether a text that a service made up (a state, a role) has words in the catalogue. */
export function known(key: string): key is Key {
  return key in catalogue;
}
