// A user's first hour: wrong password, a network, a key, a server that becomes active by itself, an address, a rule, an image, the end.
import { accessible, ok, steps } from "../check.mjs";

export async function user(page, { password, guests }) {
  const button = (name) => page.getByRole("button", { name, exact: true });
  const dialog = page.getByRole("dialog");
  const main = page.getByRole("main");
  const row = (name) => page.getByRole("row").filter({ hasText: name });
  // Names of this run alone, so that what another left behind is not taken for ours.
  const run = Date.now().toString(36);
  const [net, key, server, image, group] = ["net", "key", "server", "image", "group"].map((kind) => `e2e-${kind}-${run}`);
  const gone = () => dialog.waitFor({ state: "hidden" });
  const remove = async (name) => {
    await row(name).getByRole("checkbox").check({ force: true });
    await button("Delete").click();
    // A key or an empty group has no dialog: it can be made again.
    if (!/-(key|group)-/.test(name)) await dialog.getByRole("button", { name: "Delete" }).click();
    await row(name).waitFor({ state: "detached", timeout: 60_000 });
  };
  await steps("user", page, [
    ["a wrong password is said kindly", async () => {
      await page.goto("/");
      await page.getByLabel("User", { exact: true }).fill("demo");
      await page.getByLabel("Password", { exact: true }).fill("wrong");
      await button("Sign in").click();
      await page.getByText("This user and password do not fit together.").waitFor();
      await accessible(page, "the sign-in page");
    }],
    ["signs in", async () => {
      await page.getByLabel("Password", { exact: true }).fill(password);
      await button("Sign in").click();
      await page.getByRole("navigation").waitFor();
      ok(await page.evaluate(() => document.cookie === "" && !Object.keys(localStorage).some((k) => /token|csrf|session/i.test(k))), "a script can read the session");
    }],
    ["makes a network", async () => {
      await page.goto("/networks?new=1");
      await dialog.getByLabel("Name").fill(net);
      await dialog.getByRole("button", { name: "Create network" }).click();
      await gone();
      await row(net).waitFor();
    }],
    ["makes a key whose private half never leaves the page", async () => {
      await page.goto("/keys?new=1");
      await dialog.getByLabel("Name").fill(key);
      await button("Make a new pair").click();
      await page.waitForFunction(() => [...document.querySelectorAll("[role=dialog] textarea")].some((t) => t.value.startsWith("ssh-rsa ")));
      await dialog.getByRole("button", { name: "Add key" }).click();
      await page.getByText("BEGIN PRIVATE KEY").waitFor();
      await button("Close").last().click();
      await row(key).waitFor();
    }],
    ["creates a server and sees it run, without a reload", async () => {
      await page.keyboard.press("c");
      await main.getByLabel("Name", { exact: true }).fill(server);
      await main.getByText("--wait").first().waitFor();
      await page.evaluate(() => { globalThis.stayed = true; });
      await main.getByRole("button", { name: "Create server" }).click();
      await page.getByRole("heading", { name: server }).waitFor();
      await main.locator("header").getByText("Running").waitFor({ timeout: guests ? 180_000 : 30_000 });
      ok(await page.evaluate(() => globalThis.stayed === true), "the page was loaded again");
    }],
    ...(guests ? [["types in the serial console", async () => {
      await page.getByRole("tab", { name: "Console" }).click();
      const rows = page.locator(".xterm-rows");
      await rows.getByText(/Connected\.|mini/).first().waitFor();
      await rows.getByText("mini#").first().waitFor({ timeout: 120_000 });
      await page.locator(".xterm-helper-textarea").focus();
      await page.keyboard.type("echo he''llo\n");
      await rows.getByText("hello", { exact: true }).last().waitFor();
      // What an input method puts in comes as composed text, not as keys.
      await page.keyboard.insertText("echo 한글");
      await page.keyboard.press("Enter");
      await rows.getByText("한글", { exact: true }).last().waitFor();
    }], ["sees the screen", async () => {
      await page.getByRole("button", { name: "Screen", exact: true }).click();
      await page.waitForFunction(() => {
        const screen = document.querySelector(".terminal canvas");
        if (!screen || screen.width < 300) return false;
        const { data } = screen.getContext("2d").getImageData(0, 0, screen.width, screen.height);
        return data.some((byte, i) => i % 4 !== 3 && byte > 100);
      });
    }]] : []),
    ["opens a security group and shuts it", async () => {
      await page.goto("/security-groups?new=1");
      await dialog.getByLabel("Name").fill(group);
      await dialog.getByRole("button", { name: "Create group" }).click();
      await page.getByRole("heading", { name: group }).waitFor();
      const [shut, open] = [/^HTTP is shut for everybody/, /^HTTP is open for everybody/].map((name) => page.getByRole("button", { name }));
      await shut.click();
      await open.click();
      await shut.waitFor();
    }],
    ["attaches a floating IP", async () => {
      await page.goto("/servers");
      await row(server).getByRole("link").click();
      await page.getByRole("tab", { name: "Network" }).click();
      await main.getByRole("button", { name: "More" }).first().click();
      await page.getByRole("menuitem", { name: "Attach floating IP" }).click();
      await dialog.getByRole("button", { name: "Attach", exact: true }).click();
      await gone();
      await main.getByText("Floating IP", { exact: true }).waitFor();
    }],
    ["uploads an image", async () => {
      await page.goto("/images?new=1");
      await dialog.locator("input[type=file]").setInputFiles({ name: `${image}.raw`, mimeType: "application/octet-stream", buffer: Buffer.alloc(4 << 20, 7) });
      await dialog.getByRole("button", { name: "Upload", exact: true }).click();
      await gone();
      await row(image).getByText("Ready").waitFor({ timeout: 30_000 });
    }],
    ["finds everything by a few letters, and by keys alone", async () => {
      await page.keyboard.press("g");
      await page.keyboard.press("s");
      await page.waitForURL("**/servers");
      await row(server).waitFor();
      await page.keyboard.press("Control+k");
      await page.getByRole("combobox", { name: "Command palette" }).fill(server.slice(4));
      await page.getByRole("option", { name: new RegExp(`^${server}`) }).first().waitFor();
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: server }).waitFor();
    }],
    ["deletes what it made", async () => {
      await page.goto("/servers");
      await remove(server);
      for (const [path, name] of [["/images", image], ["/networks", net], ["/keys", key], ["/security-groups", group]]) {
        await page.goto(path);
        await remove(name);
      }
    }],
  ]);
}
