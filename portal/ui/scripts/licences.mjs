// Everything that ends up in the pages keeps its licence beside them: dist/licences.txt, which the help dialog links.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
// The fonts are needed only while building, but their glyphs are in the pages.
const fonts = ["node_modules/pretendard", "node_modules/@fontsource/gowun-batang", "node_modules/@fontsource/ibm-plex-mono"];
const inside = Object.entries(lock.packages).filter(([path, p]) => path && (fonts.includes(path) || (!p.dev && !p.optional && existsSync(join(root, path)))));

const parts = inside.map(([path, p]) => {
  const dir = join(root, path);
  const file = readdirSync(dir).find((f) => /^(licen[cs]e|copying)/i.test(f));
  const text = file ? readFileSync(join(dir, file), "utf8").trim() : pretendard(dir);
  return `${path.replace(/^.*node_modules\//, "")} ${p.version} (${p.license ?? "see below"})\n\n${text || "Licence as named above."}`;
});
writeFileSync(join(root, "dist/licences.txt"), `The portal's pages contain parts of these works.\n\n${parts.join(`\n\n${"-".repeat(78)}\n\n`)}\n`);

/** The package has its licence at the head of its style sheets. */
function pretendard(dir) {
  const css = join(dir, "dist/web/static/pretendard.css");
  return existsSync(css) ? (/\/\*([\s\S]*?)\*\//.exec(readFileSync(css, "utf8"))?.[1].trim() ?? "") : "";
}
