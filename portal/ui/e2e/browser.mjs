// A Chromium that speaks to this machine only, and notes all that a page should not do.
import { chromium } from "playwright-core";
import { wordsOf } from "./words.mjs";

/** Where windows look; each region that a test starts has an address of its own. */
export let base = process.env.HANOK_URL ?? "http://127.0.0.1:5240";
export const at = (url) => { base = url; };
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"];

/** Milliseconds that whatever is waited for may take on a busy machine, guests that start among it. Only what is broken takes so long. */
export const LONG = 300_000;

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });

/** A window of its own with its own cookie jar. */
export async function open(browser, { lang = "en", theme = "light", phone = false, scale = 1 } = {}) {
  const context = await browser.newContext({
    baseURL: base, locale: lang === "ko" ? "ko-KR" : "en-GB", colorScheme: theme, deviceScaleFactor: scale,
    viewport: phone ? { width: 390, height: 844 } : { width: 1360, height: 860 }, hasTouch: phone, reducedMotion: "reduce",
    ignoreHTTPSErrors: true,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(LONG);
  // A browser loads a page that was broken off so again by itself; here nobody else would.
  const go = page.goto.bind(page);
  page.goto = async (...where) => {
    for (let tries = 0; ; tries++) {
      try { return await go(...where); } catch (error) { if (tries > 4 || !/ERR_NETWORK_CHANGED/.test(error.message)) throw error; }
    }
  };
  const home = new URL(base).origin;
  const faults = [];
  // 401 is how a page learns that nobody is signed in; 404, that a server or machine has gone while it was asked for. When guests
  // come and go, so do this machine's interfaces, and the browser breaks off what it loads and tries again.
  const expected = (m) =>
    /status of 401|ERR_NETWORK_CHANGED/.test(m.text()) || (/status of 404/.test(m.text()) && /\/(servers|machines)\/[0-9a-f-]{36}$/.test(m.location().url));
  page.on("console", (m) => m.type() === "error" && !expected(m) && faults.push(`console: ${m.text()} (${m.location().url}, on ${new URL(page.url()).pathname})`));
  page.on("pageerror", (e) => faults.push(`page: ${e.message}`));
  page.on("request", (r) => {
    const { origin, protocol } = new URL(r.url());
    if (origin !== home && !["data:", "blob:"].includes(protocol)) faults.push(`another host: ${r.url()}`);
  });
  page.on("websocket", (socket) => {
    const { host } = new URL(socket.url());
    if (host !== new URL(home).host) faults.push(`another host: ${socket.url()}`);
  });
  return { context, page, faults };
}

export async function signIn(page, user, password, lang = "en") {
  const say = wordsOf(lang);
  await page.goto("/");
  await page.getByLabel(say("signin.user"), { exact: true }).fill(user);
  await page.getByLabel(say("signin.password"), { exact: true }).fill(password);
  await page.getByRole("button", { name: say("signin.do"), exact: true }).click();
  await page.getByRole("navigation").or(page.getByRole("button", { name: say("nav.open") })).first().waitFor();
}
