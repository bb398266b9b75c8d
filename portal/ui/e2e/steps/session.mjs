// Refusals say why and what to do, and who leaves the page alone is signed out.
import { open, signIn } from "../browser.mjs";
import { ok, steps, until } from "../check.mjs";
import { wordsOf } from "../words.mjs";

export async function refused(page, lang) {
  const say = wordsOf(lang);
  await steps(`refusals, ${lang}`, page, [
    ["an error has the service's words, what to do and the request id", async () => {
      await page.goto("/security-groups?new=1");
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel(say("word.name")).fill("x".repeat(300));
      const answer = page.waitForResponse((r) => r.request().method() === "POST" && r.url().endsWith("/security-groups"));
      await dialog.getByRole("button", { name: say("groups.create") }).click();
      const refusal = await answer;
      const note = await dialog.getByRole("alert").innerText();
      for (const part of [say("error.input"), (await refusal.json()).NeutronError.message, say("error.inputDo"), refusal.headers()["x-openstack-request-id"]]) {
        ok(note.includes(part), `the note does not say “${part}”: ${note}`);
      }
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
    }],
    ["an address that leads nowhere says so, and leads home", async () => {
      await page.goto("/no/such/page");
      await page.getByText(say("missing.page")).waitFor();
      await page.getByRole("main").getByRole("link", { name: say("home.title") }).click();
      await page.waitForURL("**/");
    }],
  ]);
}

/** With the page's own clock set forward, so that nobody has to wait. */
export async function idle(browser, password, lang) {
  const say = wordsOf(lang);
  const { page, context, faults } = await open(browser, { lang });
  await steps(`idle, ${lang}`, page, [["who leaves the page alone is signed out, and told why", async () => {
    await page.clock.install();
    await signIn(page, "demo", password, lang);
    const { idle_s } = await page.evaluate(async () => (await fetch("/hanok/v1/session")).json());
    // Time goes on meanwhile, and may be wanted on a busy machine.
    await page.clock.fastForward((idle_s - 600) * 1000);
    ok(await page.getByRole("navigation").isVisible(), "it was signed out too early");
    await page.clock.fastForward(660_000);
    await page.getByText(say("signin.idle")).waitFor();
    await until("the session has ended", () => page.evaluate(async () => (await fetch("/hanok/v1/session")).status === 401));
  }]]);
  await context.close();
  return faults;
}
