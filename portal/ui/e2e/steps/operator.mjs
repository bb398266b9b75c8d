// An operator's day, in Korean: drains a host and takes it back, makes a project, looks at everything.
import { accessible, ok, steps } from "../check.mjs";
import { signIn } from "../browser.mjs";

export async function operator(page, { password }) {
  const dialog = page.getByRole("dialog");
  const first = page.getByRole("row").nth(1);
  await steps("operator", page, [
    ["signs in, in Korean", async () => {
      await signIn(page, "admin", password, "ko");
      ok((await page.locator("html").getAttribute("lang")) === "ko", "the page does not say that it is Korean");
    }],
    ["drains a host and takes it back", async () => {
      await page.goto("/fleet/hosts");
      await first.waitFor();
      const rows = await page.getByRole("row").count();
      if (rows < 3) return console.log("      (one host only: nowhere to drain to)");
      await first.getByRole("link").click();
      await page.locator("header").getByRole("button").last().click();
      await page.getByRole("menuitem", { name: "비우기", exact: true }).click();
      await dialog.getByRole("button", { name: "비우기" }).click();
      await dialog.waitFor({ state: "hidden" });
      await page.getByText("비었습니다. 정비할 수 있습니다.").waitFor({ timeout: 60_000 });
      await page.getByRole("button", { name: "비우기 멈추기" }).click();
      await page.getByText("비었습니다. 정비할 수 있습니다.").waitFor({ state: "hidden" });
    }],
    ["makes a project and deletes it", async () => {
      await page.goto("/fleet/projects?new=1");
      await dialog.getByLabel("이름").fill("e2e 시험");
      await dialog.getByRole("button", { name: "프로젝트 만들기" }).click();
      await dialog.waitFor({ state: "hidden" });
      const row = page.getByRole("row").filter({ hasText: "e2e 시험" });
      await row.getByRole("button", { name: "e2e 시험" }).click();
      await page.getByRole("menuitem", { name: "삭제" }).click();
      await dialog.getByRole("button", { name: "삭제" }).click();
      await row.waitFor({ state: "detached" });
    }],
    ...["/fleet", "/fleet/hosts", "/fleet/machines", "/fleet/racks", "/fleet/jobs", "/fleet/audit", "/fleet/projects", "/fleet/users", "/fleet/flavors", "/fleet/settings", "/fleet/doctor"].map((path) => [
      `${path} is accessible`, async () => {
        await page.goto(path);
        await page.locator("main h1").waitFor();
        await page.waitForTimeout(300);
        await accessible(page, path);
      }]),
  ]);
}

export async function pages(page, paths, theme) {
  await steps(`pages, ${theme}`, page, paths.map((path) => [`${path} is accessible`, async () => {
    await page.goto(path);
    await page.locator("main h1").first().waitFor();
    await page.waitForTimeout(300);
    await accessible(page, path);
  }]));
}
