// Loads that the browser breaks off, as it does when the network changes under it: they are asked for again, and what
// does not come at all is said. A window that stays blank is the fault that all of this is about.
import { open, signIn } from "../browser.mjs";
import { ok, steps } from "../check.mjs";
import { wordsOf } from "../words.mjs";

/** What the browser and React say about what is broken off here, and that a simulated server has no console. An error that nobody caught is not among it. */
const EXPECTED = /^console: .*(net::ERR_|status of 404|dynamically imported module|not arrived|WebSocket .* code: 409)/;

/** Breaks off the first requests for a file, or all of them until the returned function is called. */
async function breakOff(page, file, times, how = "internetdisconnected") {
  const pattern = `**/assets/${file}-*`;
  let broken = 0;
  await page.route(pattern, (route) => (broken < times ? (broken++, route.abort(how)) : route.continue()));
  return { broken: () => broken, end: () => page.unroute(pattern) };
}

export async function breaks(browser, password, lang) {
  const say = wordsOf(lang);
  const all = [];
  const within = async (run, who = "demo") => {
    const { page, context, faults } = await open(browser, { lang });
    if (who) await signIn(page, who, password, lang);
    await run(page);
    all.push(...faults.filter((fault) => !EXPECTED.test(fault)));
    await context.close();
  };
  const shell = (page) => page.getByRole("navigation").first();
  const anew = (page) => page.getByRole("alert").getByRole("button", { name: say("error.anew") });
  const follow = (page, key) => shell(page).getByRole("link", { name: say(key), exact: true }).click();
  const { page, context } = await open(browser, { lang });
  await steps(`broken off, ${lang}`, page, [
    ["who signs in gets in although the program behind the door was broken off", () => within(async (page) => {
      const cut = await breakOff(page, "App", 3, "connectionreset");
      await signIn(page, "demo", password, lang);
      ok(cut.broken() === 3, `${cut.broken()} requests were broken off`);
    }, null)],
    ["when it does not come at all the page says so, and goes on by itself when it can", () => within(async (page) => {
      const cut = await breakOff(page, "App", Infinity);
      await page.goto("/");
      await page.getByLabel(say("signin.user"), { exact: true }).fill("demo");
      await page.getByLabel(say("signin.password"), { exact: true }).fill(password);
      await page.getByRole("button", { name: say("signin.do"), exact: true }).click();
      await anew(page).waitFor();
      ok(await page.getByText(say("error.part")).isVisible(), "it does not say what is missing");
      await cut.end();
      await shell(page).waitFor();
    }, null)],
    ["a page comes although its file was broken off", () => within(async (page) => {
      const cut = await breakOff(page, "Networks", 2);
      await follow(page, "networks.title");
      await page.getByRole("main").getByRole("heading", { level: 1, name: say("networks.title") }).waitFor();
      ok(cut.broken() === 2, `${cut.broken()} requests were broken off`);
    })],
    ["a page that does not come leaves the rest in place, and comes later", () => within(async (page) => {
      const cut = await breakOff(page, "Networks", Infinity);
      await follow(page, "networks.title");
      await anew(page).waitFor();
      ok(await shell(page).isVisible(), "the navigation is gone");
      await cut.end();
      await page.getByRole("main").getByRole("heading", { level: 1, name: say("networks.title") }).waitFor();
    })],
    ["a file that an upgrade took away brings the page anew, once", () => within(async (page) => {
      let asked = 0;
      await page.route("**/assets/Networks-*", (route) => (asked++, route.fulfill({ status: 404, body: "" })));
      await follow(page, "networks.title");
      await anew(page).waitFor();
      // The file and whether it is there, before and after.
      ok(asked >= 3 && asked <= 6, `${asked} requests for a file that is not there`);
      await page.unroute("**/assets/Networks-*");
      await anew(page).click();
      await page.getByRole("main").getByRole("heading", { level: 1, name: say("networks.title") }).waitFor();
    })],
    ["a console comes, with its styles, although its file was broken off", () => within(async (page) => {
      const id = await page.evaluate(async () => (await (await fetch("/compute/v2.1/servers?status=ACTIVE")).json()).servers[0].id);
      const cut = await breakOff(page, "SerialConsole", 2);
      await page.goto(`/servers/${id}?tab=console`);
      await page.locator(".xterm-screen").waitFor();
      ok((await page.locator(".xterm").evaluate((e) => getComputedStyle(e).position)) === "relative", "it has no styles");
      ok(cut.broken() === 2, `${cut.broken()} requests were broken off`);
    })],
    ["a console that does not come says so in its place", () => within(async (page) => {
      const id = await page.evaluate(async () => (await (await fetch("/compute/v2.1/servers?status=ACTIVE")).json()).servers[0].id);
      await breakOff(page, "SerialConsole", Infinity);
      await page.goto(`/servers/${id}?tab=console`);
      await anew(page).waitFor();
      ok(await page.getByRole("tab", { name: say("server.console") }).isVisible(), "the page of the server is gone");
    })],
    ["a console that breaks off goes on in the same terminal", () => within(async (page) => {
      const id = await page.evaluate(async () => (await (await fetch("/compute/v2.1/servers?status=ACTIVE")).json()).servers[0].id);
      const lines = [];
      await page.routeWebSocket(/\/console\/serial/, (line) => {
        lines.push(line);
        line.send(`line ${lines.length}\r\n`);
      });
      await page.goto(`/servers/${id}?tab=console`);
      const rows = page.locator(".xterm-rows");
      await rows.getByText("line 1").waitFor();
      await lines[0].close({ code: 1012 });
      await rows.getByText("line 2").waitFor();
      ok(await rows.getByText("line 1").isVisible() && await rows.getByText(say("console.lost")).isVisible(), "what was there is gone");
      // The server was stopped: that is its end.
      await lines[1].close({ code: 1000 });
      await page.getByText(say("console.ended")).waitFor();
      ok(lines.length === 2, `${lines.length} connections`);
    })],
    ["styles that were broken off are asked for again", () => within(async (page) => {
      const cut = await breakOff(page, "style", 2);
      await page.goto("/");
      await page.waitForFunction(() => getComputedStyle(document.documentElement).getPropertyValue("--giwa") !== "");
      ok(cut.broken() === 2, `${cut.broken()} requests were broken off`);
    }, null)],
    ["the sign-in comes although what it is made of was broken off, and when that took long", () => within(async (page) => {
      const cut = await breakOff(page, "Door", 2);
      await page.goto("/");
      await page.locator("input[name=user]").waitFor();
      ok(cut.broken() === 2, `${cut.broken()} requests were broken off`);
      await cut.end();
      const long = await breakOff(page, "Door", 9);
      await page.reload();
      await page.locator("input[name=user]").waitFor();
      ok(long.broken() === 9, `${long.broken()} requests were broken off`);
    }, null)],
    ["without the program itself there is a way on", () => within(async (page) => {
      const cut = await breakOff(page, "index", Infinity);
      await page.goto("/");
      const late = page.locator(".late");
      await late.waitFor({ state: "attached" });
      // As long as it is held back, whether or not that is over by now.
      ok(await late.evaluate((e) => !e.getAnimations().length || !e.checkVisibility({ visibilityProperty: true })), "it is seen before anything is late");
      await late.evaluate((e) => e.getAnimations().forEach((a) => a.finish()));
      await cut.end();
      await late.locator(`p[lang=${lang}]`).getByRole("link").click();
      await page.locator("input[name=user]").waitFor();
    }, null)],
    ["who is signed in is asked again when there was no answer, and the page says that there is none", () => within(async (page) => {
      let silent = true;
      await page.route("**/hanok/v1/session", (route) => (silent ? route.abort("internetdisconnected") : route.continue()));
      await page.goto("/");
      await page.getByRole("alert").getByText(say("error.lost")).waitFor();
      silent = false;
      await shell(page).waitFor();
    })],
  ], true);
  await context.close();
  return all;
}
