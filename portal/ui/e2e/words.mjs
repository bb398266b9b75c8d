// The pages' own texts, so that a test says what it presses by key and not by a copy of the words.
import { readdirSync, readFileSync } from "node:fs";

const folder = new URL("../src/i18n/catalogue/", import.meta.url);
const catalogue = new Map();
for (const file of readdirSync(folder)) {
  const text = readFileSync(new URL(file, folder), "utf8");
  for (const [, key, pair] of text.matchAll(/^\s*("[^"]+"): (\["(?:[^"\\]|\\.)*", "(?:[^"\\]|\\.)*"\]),$/gm)) catalogue.set(JSON.parse(key), JSON.parse(pair));
}

/** The words of a language: `say("networks.create")`. */
export const wordsOf = (lang) => (key, values = {}) => {
  const pair = catalogue.get(key);
  if (!pair) throw new Error(`the catalogue has no ${key}`);
  return pair[lang === "ko" ? 1 : 0]
    .replaceAll(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all))
    .replaceAll(/\{([^{}|]*)\|([^{}|]*)\}/g, (_, one, many) => (values.n === 1 ? one : many));
};
