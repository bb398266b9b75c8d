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
    .replace(/\{([^{}|]*)\|([^{}|]*)\}/g, (_, one: string, many: string) => (values.n === 1 ? one : many));
}

/** Words for what a service named by a word of its own, or that word. */
export const wordFor = (group: string, word: string): string => (known(`${group}.${word}`) ? t(`${group}.${word}` as Key) : word);

/** Whether a text that a service made up (a state, a role) has words in the catalogue. */
export function known(key: string): key is Key {
  return key in catalogue;
}
