// Steps with names, one after another; the first that fails ends its run with a picture of the page.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { LONG } from "./browser.mjs";

const out = new URL("./out", import.meta.url).pathname;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const ok = (value, message) => {
  if (!value) throw new Error(message);
};

/** Asks until it is so. */
export async function until(what, ask) {
  for (const end = Date.now() + LONG; !(await ask()); await new Promise((done) => setTimeout(done, 100))) ok(Date.now() < end, `it never came to this: ${what}`);
}

/** With `each`, steps that do not stand on one another: the others go on when one fails. */
export async function steps(title, page, list, each = false) {
  const failed = [];
  for (const [name, run] of list) {
    const begun = Date.now();
    try {
      await run();
      console.log(`ok    ${title}: ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
      mkdirSync(out, { recursive: true });
      const file = join(out, `failed-${`${title} ${name}`.replaceAll(/\W+/g, "-")}.png`);
      await page.screenshot({ path: file }).catch(() => undefined);
      failed.push(`${title}: ${name}: ${error.message}\nthe page: ${file}`);
      if (!each) break;
    }
  }
  if (failed.length) throw new Error(failed.join("\n"));
}

/** Runs it all; at the end, whatever a page did that it should not is a failure as well. */
export async function conclude(browser, run, after = async () => undefined) {
  const faults = [];
  try {
    await run(faults);
    ok(faults.length === 0, "pages did what they should not");
  
  } catch (error) {
    process.exitCode = 1;
    console.error([error.message, ...new Set(faults)].join("\n"));
  }
  await browser.close();
  await after();
}

/** No serious fault of accessibility on the page as it is. By CDP, so that the page's own policy for scripts stays as strict as it is. */
export async function accessible(page, where, only) {
  if (!(await page.evaluate(() => Boolean(globalThis.axe)))) await page.evaluate(axe);
  const found = await page.evaluate(async (rules) => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"], ...(rules ? { runOnly: rules } : {}) });
    return violations.filter((v) => ["serious", "critical"].includes(v.impact))
      .map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(" ")} (${n.any[0]?.message ?? n.failureSummary})`).join("; ")}`);
  }, only);
  ok(found.length === 0, `${where} has faults of accessibility:\n  ${found.join("\n  ")}`);
}
