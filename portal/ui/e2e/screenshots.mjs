// Every page in light and dark, English and Korean, on a desk and on a phone, to be looked at. First as a new user
// finds them, then with somebody living there. LOOKS=en-dark-desk, ONLY=/servers and OUT narrow it down and move it.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { at, launch, open, signIn } from "./browser.mjs";
import { conclude } from "./check.mjs";
import { region } from "./region.mjs";
import { inhabit } from "./seed.mjs";
import { addresses, settled } from "./steps/pages.mjs";

const out = process.env.OUT ?? new URL("./out/shots", import.meta.url).pathname;
const looks = (process.env.LOOKS ?? "en-light-desk,en-dark-desk,ko-light-desk,ko-dark-desk,en-light-phone,ko-dark-phone").split(",").map((l) => l.split("-"));
const only = process.env.ONLY?.split(",");

const cloud = await region();
at(cloud.url);
const browser = await launch();

async function shoot(faults, [lang, theme, size], who, empty) {
  const w = await open(browser, { lang, theme, phone: size === "phone" });
  const dir = join(out, `${lang}-${theme}-${size}`);
  mkdirSync(dir, { recursive: true });
  const shot = async (name) => {
    // Pictures move in for a moment after their words are there.
    await w.page.waitForTimeout(Number(process.env.SETTLE ?? 250));
    await w.page.screenshot({ path: join(dir, `${empty ? "empty-" : ""}${name}.png`), fullPage: size !== "phone" && !process.env.FOLD });
  };
  if (who === "demo" && !empty && (!only || only.includes("signin"))) {
    await w.page.goto("/");
    await w.page.locator("input[name=user]").waitFor();
    await shot("signin");
  }
  await signIn(w.page, who, cloud.password(who), lang);
  for (const [name, path] of empty ? emptyPages[who].map((p) => [p, p]) : await addresses(w.page, who === "admin")) {
    if (only && !only.includes(name)) continue;
    await settled(w.page, path);
    await shot(name === "/" ? "home" : name.slice(1).replaceAll(/[/?=]/g, "-").replaceAll("$", "").toLowerCase());
  }
  faults.push(...w.faults.map((f) => `${lang}-${theme}-${size}: ${f}`));
  await w.context.close();
}

/** Pages that say what to do next where there is nothing yet. */
const emptyPages = {
  demo: ["/", "/servers", "/servers/new", "/keys", "/floating-ips", "/access", "/topology"],
  admin: ["/fleet", "/fleet/hosts", "/fleet/machines", "/fleet/racks", "/fleet/jobs", "/fleet/audit"],
};

await conclude(browser, async (faults) => {
  if (cloud.own) {
    for (const look of looks) for (const who of ["demo", "admin"]) await shoot(faults, look, who, true);
    await cloud.end("SIGTERM");
    await cloud.start({ machines: 3 });
    await inhabit(cloud);
  }
  for (const look of looks) for (const who of ["demo", "admin"]) await shoot(faults, look, who, false);
  console.log(`screenshots in ${out}`);
}, () => cloud.stop());
