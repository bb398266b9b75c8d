// Drives the portal over simulated hosts and machines: a region of its own, or the one that HANOK_URL names.
import { at, launch, open, signIn } from "./browser.mjs";
import { conclude } from "./check.mjs";
import { region } from "./region.mjs";
import { inhabit } from "./seed.mjs";
import { breaks } from "./steps/broken.mjs";
import { firstLoad, latency, scroll } from "./steps/budgets.mjs";
import { drains, firstNetwork, machines, projects } from "./steps/operator.mjs";
import { codes, ops, ownCodes, uploads } from "./steps/ops.mjs";
import { phone, walk } from "./steps/pages.mjs";
import { idle, refused } from "./steps/session.mjs";
import { tabs } from "./steps/tabs.mjs";
import { user } from "./steps/user.mjs";

const cloud = await region();
at(cloud.url);
const browser = await launch();
/** What the browser says about an answer that a step is about. */
async function despite(expected, noted, run) {
  const before = noted.length;
  await run();
  noted.push(...noted.splice(before).filter((fault) => !expected.test(fault)));
}
await conclude(browser, async (faults) => {
  const inWindow = async (look, who, run) => {
    const w = await open(browser, look);
    if (who) await signIn(w.page, who, cloud.password(who), look.lang);
    await run(w.page, w.faults);
    faults.push(...w.faults);
    await w.context.close();
  };
  await firstLoad(browser, "en");
  await firstLoad(browser, "ko");
  await inWindow({}, null, (page) => user(page, { password: cloud.password("demo") }));
  await inWindow({ lang: "ko" }, "admin", async (page, noted) => {
    await drains(page, "ko");
    await projects(page, "ko");
    if (cloud.own) await firstNetwork(page, "ko");
    // That nobody answers for a while is no fault of the page.
    if (cloud.own) await despite(/Failed to load resource: net::ERR_/, noted, () => machines(page, cloud, "ko"));
  });
  await inWindow({ lang: "ko" }, "admin", async (page) => {
    // Before anything is there: hosts with servers stay in their zone.
    await ops(page, "ko");
    await codes(browser, page, "ko");
    faults.push(...await ownCodes(browser, page, "ko"));
  });
  if (cloud.own) await inhabit(cloud);
  await inWindow({}, "demo", (page, noted) => despite(/Failed to load resource: net::ERR_/, noted, () => uploads(page, "en")));
  await inWindow({}, "demo", async (page, noted) => {
    await despite(/status of 400/, noted, () => refused(page, "en"));
    await latency(page, cloud.url);
    await tabs(page);
  });
  await scroll(browser, cloud.password("demo"));
  // What waits for most of its time goes beside what works: the first three, and the walks.
  const alone = async (run, lang) => faults.push(...await run(browser, cloud.password("demo"), lang));
  const rounds = [alone(breaks, "en"), alone(breaks, "ko"), alone(idle, "ko"), ...["demo", "admin"].flatMap((who) => [
    ...["en", "ko"].map((lang) => inWindow({ lang }, who, (page) => walk(page, { who, lang, keyboard: lang === "en" }))),
    inWindow({ phone: true, lang: "ko", theme: "dark" }, who, (page) => phone(page, { who, lang: "ko" })),
  ])];
  const failed = (await Promise.allSettled(rounds)).filter((round) => round.status === "rejected");
  if (failed.length) throw new Error(failed.map((round) => round.reason.message).join("\n"));
}, () => cloud.stop());
