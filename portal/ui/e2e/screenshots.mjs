// Every page in light and dark, English and Korean, on a desk and on a phone, to be looked at.
// HANOK_URL, HANOK_DATA (where the passwords are), OUT; ONLY=/servers narrows it down.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { launch, open, signIn } from "./browser.mjs";

const data = process.env.HANOK_DATA ?? "/var/lib/hanok";
const out = process.env.OUT ?? new URL("./out/shots", import.meta.url).pathname;
const password = (who) => readFileSync(join(data, `${who}-password`), "utf8").trim();
const user = ["/", "/servers", "/servers/new", "SERVER", "SERVER?tab=network", "SERVER?tab=activity", "/images", "/keys", "/topology", "/networks", "NETWORK", "/floating-ips",
  "/security-groups", "GROUP", "/team", "/quota", "/access"];
const admin = ["/fleet", "/fleet/hosts", "HOST", "/fleet/machines", "/fleet/racks", "/fleet/jobs", "/fleet/audit", "/fleet/projects", "/fleet/users", "/fleet/flavors", "/fleet/settings", "/fleet/doctor"];
const looks = (process.env.LOOKS ?? "en-light-desk,en-dark-desk,ko-light-desk,ko-dark-desk,en-light-phone,ko-dark-phone").split(",").map((l) => l.split("-"));
const only = process.env.ONLY?.split(",");

const browser = await launch();
let faults = [];
for (const [lang, theme, size] of looks) {
  for (const [who, pages] of [["demo", user], ["admin", admin]]) {
    const wanted = pages.filter((p) => !only || only.includes(p));
    if (wanted.length === 0 && !(only?.includes("signin") && who === "demo")) continue;
    const w = await open(browser, { lang, theme, phone: size === "phone" });
    const dir = join(out, `${lang}-${theme}-${size}`);
    mkdirSync(dir, { recursive: true });
    const shot = (name) => w.page.screenshot({ path: join(dir, `${name}.png`), fullPage: size !== "phone" && !process.env.FOLD });
    if (who === "demo" && (!only || only.includes("signin"))) {
      await w.page.goto("/");
      await w.page.waitForLoadState("networkidle");
      await shot("signin");
    }
    await signIn(w.page, who, password(who), lang);
    const first = async (path, many) => w.page.evaluate(async ([p, m]) => (await (await fetch(p, { headers: { "openstack-api-version": "compute 2.96" } })).json())[m]?.[0]?.id, [path, many]);
    const ids = {
      SERVER: ["/servers", await first("/compute/v2.1/servers?status=ACTIVE", "servers")], NETWORK: ["/networks", await first("/network/v2.0/networks?router:external=false", "networks")],
      GROUP: ["/security-groups", await first("/network/v2.0/security-groups?name=default", "security_groups")], HOST: ["/fleet/hosts", who === "admin" ? await first("/compute/v2.1/os-hypervisors", "hypervisors") : ""],
    };
    for (const path of wanted) {
      const [word, tail] = path.split("?");
      const to = ids[word] ? `${ids[word][0]}/${ids[word][1]}${tail ? `?${tail}` : ""}` : path;
      // The event stream never ends, so quiet means: nothing but it is under way for a moment.
      await w.page.goto(to);
      await w.page.locator("main h1").first().waitFor();
      await w.page.waitForTimeout(Number(process.env.SETTLE ?? 450));
      await shot(path === "/" ? "home" : path.replace(/^\//, "").replaceAll(/[/?=]/g, "-").toLowerCase());
    }
    faults = faults.concat(w.faults.map((f) => `${lang}-${theme}-${size}: ${f}`));
    await w.context.close();
  }
}
await browser.close();
console.log(`screenshots in ${out}`);
if (faults.length) {
  console.error([...new Set(faults)].join("\n"));
  process.exit(1);
}
