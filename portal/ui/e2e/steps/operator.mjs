// An operator's day: drains a host and takes it back, makes a project.
import { LONG } from "../browser.mjs";
import { ok, steps } from "../check.mjs";
import { wordsOf } from "../words.mjs";

export async function drains(page, lang) {
  const say = wordsOf(lang);
  const dialog = page.getByRole("dialog");
  await steps(`operator, ${lang}`, page, [
    ["drains a host and takes it back", async () => {
      await page.goto("/fleet/hosts");
      const first = page.getByRole("row").nth(1);
      const name = await first.getByRole("link").innerText();
      await first.getByRole("link").click();
      await page.locator("header").getByRole("button", { name }).click();
      await page.getByRole("menuitem", { name: say("hosts.drain"), exact: true }).click();
      await dialog.getByRole("button", { name: say("hosts.drain") }).click();
      await dialog.waitFor({ state: "hidden" });
      await page.getByText(say("hosts.drained")).waitFor();
      await page.getByRole("button", { name: say("hosts.drainStop") }).click();
      await page.getByText(say("hosts.drained")).waitFor({ state: "hidden" });
    }],
  ]);
}

export async function projects(page, lang) {
  const say = wordsOf(lang);
  const dialog = page.getByRole("dialog");
  await steps(`operator, ${lang}`, page, [
    ["makes a project and deletes it", async () => {
      await page.goto("/fleet/projects?new=1");
      await dialog.getByLabel(say("word.name")).fill("e2e 시험");
      await dialog.getByRole("button", { name: say("projects.create") }).click();
      await dialog.waitFor({ state: "hidden" });
      const row = page.getByRole("row").filter({ hasText: "e2e 시험" });
      await row.getByRole("button", { name: "e2e 시험" }).click();
      await page.getByRole("menuitem", { name: say("do.delete") }).click();
      await dialog.getByRole("button", { name: say("do.delete") }).click();
      await row.waitFor({ state: "detached" });
    }],
  ]);
}

/** In a project that has nothing yet: one dialog makes the network, its subnet, and the router to the outside. */
export async function firstNetwork(page, lang) {
  const say = wordsOf(lang);
  const dialog = page.getByRole("dialog");
  await steps(`first network, ${lang}`, page, [
    ["a network comes with a way out, where there was none", async () => {
      await page.goto("/networks?new=1");
      await dialog.getByLabel(say("word.name")).fill("e2e-first");
      await dialog.getByText(say("networks.connectNew")).waitFor();
      await dialog.getByRole("button", { name: say("networks.create") }).click();
      await dialog.waitFor({ state: "hidden" });
      const routers = page.getByRole("table", { name: say("routers.title") });
      await routers.getByRole("link", { name: "e2e-first" }).click();
      await page.getByRole("main").getByText("public", { exact: true }).waitFor();
      await page.getByRole("main").getByText("e2e-first", { exact: true }).nth(1).waitFor();
    }],
    ["and both go again", async () => {
      await page.goto("/networks");
      const table = page.getByRole("table", { name: say("networks.title") });
      await table.getByRole("row").filter({ hasText: "e2e-first" }).getByRole("checkbox").check({ force: true });
      await page.getByRole("button", { name: say("do.delete"), exact: true }).click();
      await dialog.getByRole("button", { name: say("do.delete") }).click();
      await table.getByRole("row").filter({ hasText: "e2e-first" }).waitFor({ state: "detached" });
      await page.getByRole("table", { name: say("routers.title") }).getByRole("link", { name: "e2e-first" }).click();
      await page.locator("header").getByRole("button", { name: say("do.delete"), exact: true }).click();
      await dialog.getByRole("button", { name: say("do.delete"), exact: true }).click();
      await page.waitForURL("**/networks");
    }],
  ]);
}

const column = (page, say, group) => page.getByRole("region", { name: say(`machines.group.${group}`), exact: true });

/** On a page that stayed since `globalThis.stayed` was set. */
const approval = (page, say) => ["approves one, and its card moves on by itself", async () => {
  const dialog = page.getByRole("dialog");
  await column(page, say, "arriving").getByRole("button", { name: say("machines.do.approve"), exact: true }).first().click();
  await dialog.getByRole("button", { name: new RegExp(say("machines.fitFor")) }).click();
  await page.getByRole("option", { name: say("machines.asMetal") }).click();
  await dialog.getByRole("button", { name: say("machines.do.approve"), exact: true }).click();
  await dialog.waitFor({ state: "hidden" });
  await column(page, say, "ready").getByRole("link").first().waitFor({ timeout: 2 * LONG });
  ok(await page.evaluate(() => globalThis.stayed === true), "the page was loaded again");
}];

/** A machine that has been found is approved and measured. */
export async function approves(page, lang) {
  const say = wordsOf(lang);
  await steps(`a machine, ${lang}`, page, [
    ["sees it on the board", async () => {
      await page.goto("/fleet/machines");
      await column(page, say, "arriving").getByRole("link").first().waitFor();
      await page.evaluate(() => { globalThis.stayed = true; });
    }],
    approval(page, say),
  ]);
}

/** The region is killed and comes back with machines behind it: the page says so, heals, and its board fills. */
export async function machines(page, cloud, lang) {
  const say = wordsOf(lang);
  const cards = page.getByRole("main").getByRole("listitem");
  await steps(`machines, ${lang}`, page, [
    ["a lost connection is shown", async () => {
      await page.goto("/fleet/machines");
      await page.getByText(say("machines.empty")).waitFor();
      await page.getByText(say("link.live"), { exact: true }).waitFor();
      await page.evaluate(() => { globalThis.stayed = true; });
      await cloud.kill();
      await page.getByText(say("link.lost")).waitFor();
    }],
    ["and heals, and the board fills as computers start", async () => {
      await cloud.start({ machines: 3 });
      await page.getByText(say("link.live"), { exact: true }).waitFor();
      await page.getByText(say("link.lost")).waitFor({ state: "hidden" });
      await cards.nth(2).waitFor();
      await column(page, say, "arriving").getByRole("link").nth(2).waitFor();
    }],
    approval(page, say),
  ]);
}
