// A user's first hour: wrong password, a network, a key, a server that becomes active by itself, its console, a rule, an address, an image, the end.
import { connect } from "node:net";
import { LONG, open } from "../browser.mjs";
import { accessible, ok, steps, until } from "../check.mjs";
import { wordsOf } from "../words.mjs";

/** What a server says first at a port, tried again until it does: guests take their time to boot. */
function greeting(host, port, until) {
  return new Promise((done, fail) => {
    const again = () => (Date.now() > until ? fail(new Error(`${host}:${port} does not answer`)) : setTimeout(call, 250));
    const call = () => {
      const socket = connect({ host, port, timeout: 2000 });
      let next = again;
      socket.on("data", (bytes) => {
        next = () => done(bytes.toString());
        socket.destroy();
      });
      socket.on("timeout", () => socket.destroy());
      socket.on("error", () => undefined);
      socket.on("close", () => next());
    };
    call();
  });
}

/** Waits until a screen shows more than black. */
const picture = (page) => page.waitForFunction(() => {
  const screen = document.querySelector("canvas");
  if (!screen || screen.width < 300) return false;
  const { data } = screen.getContext("2d").getImageData(0, 0, screen.width, screen.height);
  return data.some((byte, i) => i % 4 !== 3 && byte > 100);
});

/** The same in either language. With `guests` servers are real, and so their consoles and addresses are tried too. */
export async function user(page, { password, guests, lang = "en" }) {
  const say = wordsOf(lang);
  const button = (key) => page.getByRole("button", { name: say(key), exact: true });
  const dialog = page.getByRole("dialog");
  const main = page.getByRole("main");
  const row = (name) => page.getByRole("row").filter({ hasText: name });
  // Names of this run alone, so that what another left behind is not taken for ours.
  const run = Date.now().toString(36);
  const [net, key, server, image, group] = ["net", "key", "server", "image", "group"].map((kind) => `e2e-${kind}-${run}`);
  const gone = () => dialog.waitFor({ state: "hidden" });
  const remove = async (name) => {
    await row(name).getByRole("checkbox").check({ force: true });
    await button("do.delete").click();
    // Whatever goes is named first, and the way out comes before the deed.
    await dialog.getByText(name).first().waitFor();
    await dialog.getByRole("button", { name: say("do.delete"), exact: true }).click();
    await row(name).waitFor({ state: "detached" });
  };
  const cell = (what, service) => page.getByRole("button", { name: say(what, { service, peer: say("groups.any") }), exact: true });
  const begin = async (path, create, name) => {
    await page.goto(`${path}?new=1`);
    await dialog.getByLabel(say("word.name")).fill(name);
    await dialog.getByRole("button", { name: say(create) }).click();
  };
  /** By keys, which a person presses again as well when the page was busy, or the second came too late for the first. */
  const goBy = (keys, url) => until(`${keys} leads to ${url}`, async () => {
    for (const key of keys) await page.keyboard.press(key);
    return page.waitForURL(url, { timeout: 3000 }).then(() => true, () => false);
  });
  let address;
  await steps(`user, ${lang}`, page, [
    ["a wrong password is said kindly", async () => {
      await page.goto("/");
      await page.getByLabel(say("signin.user"), { exact: true }).fill("demo");
      await page.getByLabel(say("signin.password"), { exact: true }).fill("wrong");
      await button("signin.do").click();
      await page.getByText(say("signin.wrong")).waitFor();
      ok((await page.locator("html").getAttribute("lang")) === lang, "the page does not say which language it is in");
      await accessible(page, "the sign-in page");
    }],
    ["signs in", async () => {
      await page.getByLabel(say("signin.password"), { exact: true }).fill(password);
      await button("signin.do").click();
      await page.getByRole("navigation").waitFor();
      ok(await page.evaluate(() => document.cookie === "" && !Object.keys(localStorage).some((k) => /token|csrf|session/i.test(k))), "a script can read the session");
    }],
    ["makes a network", async () => {
      await begin("/networks", "networks.create", net);
      await gone();
      await row(net).waitFor();
    }],
    ["keys act on the row that has the focus, however the list moves", async () => {
      await row(net).focus();
      // Sorted the other way without a click, which would take the focus.
      await page.getByRole("columnheader", { name: say("word.name"), exact: true }).first().getByRole("button").evaluate((head) => head.click());
      await page.keyboard.press("x");
      await until("the row with the focus is chosen", () => row(net).getByRole("checkbox").isChecked());
      ok(await row(net).getAttribute("tabindex") === "0", "another row is the tab stop");
      await page.keyboard.press("Escape");
    }],
    ["is not offered to delete or change a network of others", async () => {
      const { id, name } = await page.evaluate(async () => (await (await fetch("/network/v2.0/networks?router:external=true")).json()).networks[0]);
      await page.goto(`/networks/${id}`);
      await page.getByRole("heading", { name, exact: true }).waitFor();
      ok(await button("do.delete").count() + await button("networks.addSubnet").count() === 0, "it is");
    }],
    ["makes a key whose private half never leaves the page", async () => {
      await page.goto("/keys?new=1");
      await dialog.getByLabel(say("word.name")).fill(key);
      await button("keys.generate").click();
      await page.waitForFunction(() => [...document.querySelectorAll("[role=dialog] textarea")].some((t) => t.value.startsWith("ssh-rsa ")));
      await dialog.getByRole("button", { name: say("keys.create") }).click();
      await page.getByText("BEGIN PRIVATE KEY").waitFor();
      await button("do.close").last().click();
      await row(key).waitFor();
    }],
    ["creates a server and sees it run, without a reload", async () => {
      await goBy(["c"], "**/servers/new");
      await main.getByLabel(say("word.name"), { exact: true }).fill(server);
      await main.getByText("--wait").first().waitFor();
      await main.getByText("mini", { exact: true }).click();
      for (const box of await main.getByRole("group", { name: say("nav.network") }).getByRole("checkbox").all()) await box.setChecked(false, { force: true });
      await main.getByRole("checkbox", { name: net }).check({ force: true });
      await page.evaluate(() => { globalThis.stayed = true; });
      await main.getByRole("button", { name: say("create.do", { n: 1 }) }).click();
      await page.getByRole("heading", { name: server }).waitFor();
      await main.locator("header").getByText(say("state.ACTIVE")).waitFor();
      ok(await page.evaluate(() => globalThis.stayed === true), "the page was loaded again");
    }],
    ...(guests ? [["types in the serial console", async () => {
      await page.getByRole("tab", { name: say("server.console") }).click();
      const rows = page.locator(".xterm-rows");
      await rows.getByText(/mini|Connected\.|연결/).first().waitFor();
      await rows.getByText("mini#").first().waitFor();
      await page.locator(".xterm-helper-textarea").focus();
      await page.keyboard.type("echo he''llo\n");
      await rows.getByText("hello", { exact: true }).last().waitFor();
      // A colour of its own is an inline style, and one that the page's policy lets through.
      await page.keyboard.type("printf '\\033[38;2;1;200;99mgr''een\\033[0m\\n'\n");
      const green = rows.getByText("green", { exact: true }).last();
      await green.waitFor();
      const color = await green.evaluate((e) => getComputedStyle(e).color);
      ok(color === "rgb(1, 200, 99)", `the colour came as ${color}`);
      // What an input method puts in comes as composed text, not as keys.
      await page.keyboard.insertText("echo 안녕''하세요");
      await page.keyboard.press("Enter");
      await rows.getByText("안녕하세요", { exact: true }).last().waitFor();
      await accessible(page, "the serial console");
    }], ["reads the log", async () => {
      await page.getByRole("tab", { name: say("server.log") }).click();
      await page.getByLabel(say("server.log")).getByText("hello").first().waitFor();
      await accessible(page, "the log");
      await page.getByRole("tab", { name: say("server.console") }).click();
    }], ["sees the screen", async () => {
      await button("console.screen").click();
      await picture(page);
    }], ["sees the screen by the address that a client is given, without signing in", async () => {
      const { context, page: alone, faults } = await open(page.context().browser(), { lang });
      const identity = { methods: ["password"], password: { user: { name: "demo", domain: { id: "default" }, password } } };
      const scope = { project: { name: "demo", domain: { id: "default" } } };
      const login = await context.request.post("/identity/v3/auth/tokens", { data: { auth: { identity, scope } } });
      const id = new URL(page.url()).pathname.split("/").pop();
      const made = await context.request.post(`/compute/v2.1/servers/${id}/remote-consoles`, {
        headers: { "X-Auth-Token": login.headers()["x-subject-token"], "OpenStack-API-Version": "compute 2.6" },
        data: { remote_console: { protocol: "vnc", type: "novnc" } },
      });
      await alone.goto((await made.json()).remote_console.url);
      await picture(alone);
      await accessible(alone, "the screen by itself");
      ok(faults.length === 0, faults.join("\n"));
      await alone.reload();
      await alone.getByText(say("screen.over")).waitFor();
      await alone.goto("/screen?path=/hanok/v1/stream");
      await alone.getByText(say("screen.wrong")).waitFor();
      await context.close();
    }]] : []),
    ["opens a security group and shuts it", async () => {
      await begin("/security-groups", "groups.create", group);
      await page.getByRole("heading", { name: group }).waitFor();
      await cell("groups.cellShut", "HTTP").click();
      await cell("groups.cellOpen", "HTTP").click();
      await cell("groups.cellShut", "HTTP").waitFor();
    }],
    ["attaches a floating IP", async () => {
      await page.goto("/servers");
      await row(server).getByRole("link").click();
      await page.getByRole("tab", { name: say("nav.network") }).click();
      await main.getByRole("button", { name: say("do.more") }).first().click();
      await page.getByRole("menuitem", { name: say("fips.attach") }).click();
      await dialog.getByRole("button", { name: say("fips.attachDo"), exact: true }).click();
      await gone();
      const shown = main.getByText(say("fips.one"), { exact: true });
      await shown.waitFor();
      address = (await shown.locator("..").innerText()).match(/\d+\.\d+\.\d+\.\d+/)?.[0];
      ok(address, "the address is not shown beside its word");
    }],
    ["opens the default group for SSH, and gets in by the address", async () => {
      await page.goto("/security-groups");
      await row("default").getByRole("link").click();
      await cell("groups.cellShut", "SSH").waitFor();
      if (guests) ok(await greeting(address, 22, Date.now() + 1000).then(() => false, () => true), "it is open before anybody opened it");
      await cell("groups.cellShut", "SSH").click();
      await cell("groups.cellOpen", "SSH").waitFor();
      if (guests) ok((await greeting(address, 22, Date.now() + LONG)).startsWith("SSH-2.0"), "no SSH server greets");
      await cell("groups.cellOpen", "SSH").click();
      await cell("groups.cellShut", "SSH").waitFor();
    }],
    ["uploads an image", async () => {
      await page.goto("/images?new=1");
      await dialog.locator("input[type=file]").setInputFiles({ name: `${image}.raw`, mimeType: "application/octet-stream", buffer: Buffer.alloc(4 << 20, 7) });
      await dialog.getByRole("button", { name: say("images.uploadDo"), exact: true }).click();
      await gone();
      await row(image).getByText(say("state.active")).waitFor();
    }],
    ["finds everything by a few letters, and by keys alone", async () => {
      await goBy(["g", "s"], "**/servers");
      await row(server).waitFor();
      await page.keyboard.press("Control+k");
      await page.getByRole("combobox", { name: say("palette.label") }).fill(server.slice(4));
      await page.getByRole("option", { name: new RegExp(`^${server}`) }).first().waitFor();
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: server }).waitFor();
      // What asks first does so on the page of the thing, as often as one likes.
      for (let i = 0; i < 2; i++) {
        await page.keyboard.press("Control+k");
        await page.getByRole("combobox", { name: say("palette.label") }).fill(`${server.slice(4)} ${say("server.do.delete")}`);
        await page.getByRole("option", { name: `${server} · ${say("server.do.delete")}` }).waitFor();
        await page.keyboard.press("Enter");
        await dialog.getByText(say("server.deleteAsk", { name: server })).waitFor();
        await page.keyboard.press("Escape");
        await gone();
      }
    }],
    ["finds a subnet and a port, and shows them where they are", async () => {
      const look = async (text, option) => {
        await page.keyboard.press("Control+k");
        await page.getByRole("combobox", { name: say("palette.label") }).fill(text);
        await page.getByRole("option", { name: option }).first().click();
      };
      const marked = (text) => page.locator("[aria-current=true]", { hasText: text });
      const { cidr, ip } = await page.evaluate(async (name) => {
        const ask = async (path, many) => (await (await fetch(`/network/v2.0/${path}`)).json())[many];
        const [{ id }] = await ask(`networks?name=${name}`, "networks");
        const [{ cidr }] = await ask(`subnets?network_id=${id}`, "subnets");
        const port = (await ask(`ports?network_id=${id}`, "ports")).find((p) => p.device_owner.startsWith("compute:"));
        return { cidr, ip: port.fixed_ips[0].ip_address };
      }, net);
      await look(cidr, new RegExp(`^${cidr} ${say("subnets.one")}`));
      await page.getByRole("heading", { name: net }).waitFor();
      await marked(cidr).waitFor();
      await look(`${server} ${say("ports.one")}`, new RegExp(`^${server} · ${say("ports.one")}`));
      await marked(ip).waitFor();
      await until("the port is in sight", () => marked(ip).evaluate((e) => { const r = e.getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight; }));
      await look(`${cidr} ${say("do.delete")}`, `${cidr} · ${say("do.delete")}`);
      await dialog.getByText(say("networks.deleteSubnetAsk", { name: cidr })).waitFor();
      await page.keyboard.press("Escape");
      await gone();
    }],
    ["deletes what it made", async () => {
      await page.goto("/servers");
      await remove(server);
      await page.goto("/floating-ips");
      await row(address).getByRole("button", { name: address }).last().click();
      await page.getByRole("menuitem", { name: say("fips.release") }).click();
      await dialog.getByText(say("fips.releaseNote")).waitFor();
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
      ok(await row(address).count() === 1, "Escape gave the address back");
      await row(address).getByRole("button", { name: address }).last().click();
      await page.getByRole("menuitem", { name: say("fips.release") }).click();
      await dialog.getByRole("button", { name: say("fips.release"), exact: true }).click();
      await row(address).waitFor({ state: "detached" });
      for (const [path, name] of [["/images", image], ["/networks", net], ["/keys", key], ["/security-groups", group]]) {
        await page.goto(path);
        await remove(name);
      }
    }],
  ]);
}
