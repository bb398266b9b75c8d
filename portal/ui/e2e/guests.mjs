// The portal of a real `hanok up`, HANOK_URL with its passwords in HANOK_DATA: a user's first hour in English and in
// Korean, with consoles that are typed in and addresses that are called, and the operator who drains the host.
import { at, launch, open } from "./browser.mjs";
import { conclude } from "./check.mjs";
import { region } from "./region.mjs";
import { drains } from "./steps/operator.mjs";
import { user } from "./steps/user.mjs";
import { signIn } from "./browser.mjs";

const cloud = await region();
at(cloud.url);
const browser = await launch();
await conclude(browser, async (faults) => {
  for (const lang of ["en", "ko"]) {
    const w = await open(browser, { lang, theme: lang === "ko" ? "dark" : "light" });
    await user(w.page, { password: cloud.password("demo"), guests: true, lang });
    faults.push(...w.faults);
    await w.context.close();
  }
  const w = await open(browser, { lang: "ko" });
  await signIn(w.page, "admin", cloud.password("admin"), "ko");
  await drains(w.page, "ko");
  faults.push(...w.faults);
});
