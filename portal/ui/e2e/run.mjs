// Drives the portal of a running Hanok: HANOK_URL, and HANOK_DATA where its passwords are.
// GUESTS=1 where servers are real (`hanok up`), so that their consoles are typed in as well.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { base, launch, open, signIn } from "./browser.mjs";
import { firstLoad, latency, scroll } from "./steps/budgets.mjs";
import { operator, pages } from "./steps/operator.mjs";
import { tabs } from "./steps/tabs.mjs";
import { user } from "./steps/user.mjs";
import { ok } from "./check.mjs";

const data = process.env.HANOK_DATA ?? "/var/lib/hanok";
const password = (who) => readFileSync(join(data, `${who}-password`), "utf8").trim();
const guests = process.env.GUESTS === "1";
const userPages = ["/", "/servers", "/servers/new", "/images", "/keys", "/networks", "/floating-ips", "/security-groups", "/topology", "/team", "/quota", "/access"];

const browser = await launch();
const faults = [];
const inWindow = async (look, run) => {
  const w = await open(browser, look);
  w.page.setDefaultTimeout(20_000);
  await run(w.page);
  faults.push(...w.faults);
  await w.context.close();
};
let failed = false;
try {
  await firstLoad(browser, "en");
  await firstLoad(browser, "ko");
  await inWindow({}, (page) => user(page, { password: password("demo"), guests }));
  await inWindow({ lang: "ko" }, (page) => operator(page, { password: password("admin") }));
  await inWindow({ theme: "dark", lang: "ko" }, async (page) => {
    await signIn(page, "demo", password("demo"), "ko");
    await pages(page, userPages, "dark");
  });
  await inWindow({ phone: true }, async (page) => {
    await signIn(page, "demo", password("demo"));
    await pages(page, userPages, "phone");
  });
  const made = await seedOne();
  await inWindow({}, async (page) => {
    await signIn(page, "demo", password("demo"));
    await latency(page, base);
    await tabs(page);
  });
  await scroll(browser, password("demo"));
  await made();
  ok(faults.length === 0, `pages did what they should not:\n  ${[...new Set(faults)].join("\n  ")}`);
  console.log("the portal does what it should");
} catch (error) {
  failed = true;
  console.error(error.message, faults.length ? `\n${[...new Set(faults)].join("\n")}` : "");
}
await browser.close();
process.exit(failed ? 1 : 0);

/** A server to look at, by the API; what comes back takes it away. */
async function seedOne() {
  const w = await open(browser, {});
  await signIn(w.page, "demo", password("demo"));
  const id = await w.page.evaluate(async () => {
    const get = async (path) => (await fetch(path)).json();
    const { csrf } = await get("/hanok/v1/session");
    const headers = { "content-type": "application/json", "x-hanok-csrf": csrf, "openstack-api-version": "compute 2.96" };
    const [image, flavor] = [(await get("/image/v2/images")).images[0].id, (await get("/compute/v2.1/flavors")).flavors[0].id];
    const body = JSON.stringify({ server: { name: "e2e-look", imageRef: image, flavorRef: flavor, networks: "none" } });
    const { server } = await (await fetch("/compute/v2.1/servers", { method: "POST", headers, body })).json();
    for (;;) {
      const now = await (await fetch(`/compute/v2.1/servers/${server.id}`, { headers })).json();
      if (now.server.status !== "BUILD") return server.id;
      await new Promise((r) => setTimeout(r, 200));
    }
  });
  return async () => {
    await w.page.evaluate(async (server) => {
      const { csrf } = await (await fetch("/hanok/v1/session")).json();
      await fetch(`/compute/v2.1/servers/${server}`, { method: "DELETE", headers: { "x-hanok-csrf": csrf } });
    }, id);
    await w.context.close();
  };
}
