// Cuts the fonts down to what the pages say. The words of the catalogue come in one small file per weight, so
// that the first page is light; what users type in Korean comes in further pieces that a browser asks for only
// when a page holds one of their syllables. What is cut goes by names of our own, since its makers keep theirs for the
// whole. Written to src/fonts, which is not kept in the repository.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import subset from "subset-font";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const out = join(root, "src/fonts");
const words = join(root, "src/i18n/catalogue");
// What the server says of its own work is on no first page; its syllables come as those that users type do.
const text = readdirSync(words).filter((f) => f !== "said.ts").map((f) => readFileSync(join(words, f), "utf8")).join("");

const stamp = createHash("sha256").update(text).update(readFileSync(fileURLToPath(import.meta.url))).digest("hex");
const seal = join(out, "stamp");
if (existsSync(seal) && readFileSync(seal, "utf8") === stamp) process.exit(0);
mkdirSync(out, { recursive: true });

const hangul = (s) => [...new Set(s)].filter((c) => c >= "가" && c <= "힣").sort();
const span = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i));
const latin = [...span(0x20, 0x7e), ...span(0xa0, 0xff), ..."–—‘’“”…•·←↑→↓↵⇧⌃⌘⌥×−≤≥≈✓ "];
// The way to Korean is written in Korean on English pages: its few syllables go with the Latin letters.
const WAY = [..."한국어로보기"];
const said = hangul(text).filter((c) => !WAY.includes(c));
const titles = hangul([...text.matchAll(/title\w*"?: \[[^\]]*\]/gi)].map((m) => m[0]).join("") + "한옥");

// The 2,350 syllables of KS X 1001: all of everyday Korean.
const euc = new TextDecoder("euc-kr");
const everyday = [];
for (let a = 0xb0; a <= 0xc8; a++) for (let b = 0xa1; b <= 0xfe; b++) everyday.push(euc.decode(Uint8Array.of(a, b)));
const rest = hangul(everyday.join("")).filter((c) => !said.includes(c) && !WAY.includes(c));
const PIECES = 10;
const pieces = Array.from({ length: PIECES }, (_, i) =>
  rest.slice(Math.floor((i * rest.length) / PIECES), Math.floor(((i + 1) * rest.length) / PIECES)));

const range = (chars) => chars.map((c) => `U+${c.codePointAt(0).toString(16)}`).join(",");
const css = [];
async function face(family, weight, file, name, chars) {
  const features = ["kern", "tnum", "calt", "ccmp", "locl", "case", "ss05"];
  const font = await subset(readFileSync(join(root, "node_modules", file)), chars.join(""), {
    targetFormat: "woff2", keepFeatures: features, noHinting: true });
  writeFileSync(join(out, `${name}-${weight}.woff2`), font);
  css.push(`@font-face{font-family:"${family}";font-weight:${weight};font-style:normal;font-display:swap;`
    + `src:url("./${name}-${weight}.woff2") format("woff2");unicode-range:${range(chars)}}`);
  return font.length;
}

const sizes = {};
const put = async (...a) => { sizes[`${a[3]}-${a[1]}`] = await face(...a); };
for (const [weight, style] of [[400, "Regular"], [600, "SemiBold"]]) {
  const file = `pretendard/dist/web/static/woff2/Pretendard-${style}.woff2`;
  await put("Hanok Text", weight, file, "text-latin", [...latin, ...WAY]);
  await put("Hanok Text", weight, file, "text-korean", said);
  for (const [i, piece] of pieces.entries()) await put("Hanok Text", weight, file, `text-rest${i}`, piece);
}
const gowun = (set) => `@fontsource/gowun-batang/files/gowun-batang-${set}-700-normal.woff2`;
await put("Hanok Title", 700, gowun("latin"), "title-latin", span(0x20, 0x7e).concat([..."–—’“”…"]));
await put("Hanok Title", 700, gowun("korean"), "title-korean", titles);
await put("Hanok Mono", 400, "@fontsource/ibm-plex-mono/files/ibm-plex-mono-latin-400-normal.woff2", "mono", span(0x20, 0x7e));

writeFileSync(join(out, "fonts.css"), css.join("\n"));
writeFileSync(seal, stamp);
console.log(Object.entries(sizes).filter(([n]) => !n.includes("rest")).map(([n, s]) => `${n} ${(s / 1024).toFixed(0)} kB`).join(", "),
  `(${said.length} syllables said, ${titles.length} in titles)`);
