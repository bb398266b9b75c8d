// Steps with names, one after another; the first that fails ends its run with a picture of the page.
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const out = new URL("./out", import.meta.url).pathname;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const ok = (value, message) => {
  if (!value) throw new Error(message);
};

export async function steps(title, page, list) {
  for (const [name, run] of list) {
    const begun = Date.now();
    try {
      await run();
      console.log(`ok    ${title}: ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
      mkdirSync(out, { recursive: true });
      const file = join(out, `failed-${title.replaceAll(/\W+/g, "-")}.png`);
      await page.screenshot({ path: file }).catch(() => undefined);
      throw new Error(`${title}: ${name}: ${error.message}\nthe page: ${file}`, { cause: error });
    }
  }
}

/** No serious fault of accessibility on the page as it is. By CDP, so that the page's own policy for scripts stays as strict as it is. */
export async function accessible(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.filter((v) => ["serious", "critical"].includes(v.impact))
      .map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(" ")} (${n.any[0]?.message ?? n.failureSummary})`).join("; ")}`);
  });
  ok(found.length === 0, `${where} has faults of accessibility:\n  ${found.join("\n  ")}`);
}
