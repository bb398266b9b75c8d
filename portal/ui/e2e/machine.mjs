// The portal of a real `hanok up`, HANOK_URL with its passwords in HANOK_DATA, whose rack has found one machine that
// waits to be approved.
import { at, launch, open, signIn } from "./browser.mjs";
import { conclude } from "./check.mjs";
import { region } from "./region.mjs";
import { approves } from "./steps/operator.mjs";

const cloud = await region();
at(cloud.url);
const browser = await launch();
await conclude(browser, async (faults) => {
  const w = await open(browser, { lang: "ko" });
  await signIn(w.page, "admin", cloud.password("admin"), "ko");
  await approves(w.page, "ko");
  faults.push(...w.faults);
});
