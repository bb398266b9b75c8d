// What an operator sets up and mends, and uploads that are cut: graphs, zones, wires, ranges, machines by hand, the doctor.
import { createHmac } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { open } from "../browser.mjs";
import { accessible, ok, steps, until } from "../check.mjs";
import { wordsOf } from "../words.mjs";

/** A call as the page itself would make it. */
const call = (page, method, path, body) => page.evaluate(async ([m, p, b]) => {
  const { csrf } = await (await fetch("/hanok/v1/session")).json();
  const headers = { "content-type": "application/json", "x-hanok-csrf": csrf, "openstack-api-version": "compute 2.96" };
  const answer = await fetch(p, { method: m, headers, body: b === undefined ? undefined : JSON.stringify(b) });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}, [method, path, body]);

/** A host that was here from the start: a machine that became one in this run may be gone, or has nothing to show yet. */
const ordinaryHost = async (page) => {
  const { hypervisors } = await call(page, "GET", "/compute/v2.1/os-hypervisors/detail");
  return hypervisors.find((h) => !h.hypervisor_hostname.startsWith("pc-"));
};

export async function ops(page, lang) {
  const say = wordsOf(lang);
  const dialog = page.getByRole("dialog");
  const main = page.getByRole("main");
  const gone = () => dialog.waitFor({ state: "hidden" });
  const run = Date.now().toString(36);
  const menu = async (name, item) => {
    await main.getByRole("button", { name, exact: true }).click();
    await page.getByRole("menuitem", { name: say(item), exact: true }).click();
  };
  await steps(`operations, ${lang}`, page, [
    ["graphs are read by keys", async () => {
      await page.goto(`/fleet/hosts/${(await ordinaryHost(page)).id}`);
      const graph = main.getByRole("slider", { name: say("word.memory") });
      await graph.waitFor();
      await graph.focus();
      // Of a host that has just come there is one moment only, for a while.
      const at = async (key) => {
        await page.keyboard.press(key);
        return graph.getAttribute("aria-valuetext");
      };
      await until("the oldest moment is another than the newest", async () => await at("End") !== await at("Home"));
      ok(/^\d\d:\d\d: .*[GM]iB/.test(await graph.getAttribute("aria-valuetext")), `a graph says ${await graph.getAttribute("aria-valuetext")}`);
      await page.goto("/fleet");
      await main.getByRole("slider").first().waitFor();
    }],
    ["makes a zone, puts a host in and takes it away again", async () => {
      const name = `e2e-${run}`;
      await page.goto("/fleet/zones?new=1");
      await dialog.getByLabel(say("word.name")).fill(name);
      await dialog.getByRole("button", { name: say("zones.create") }).click();
      await gone();
      await menu(name, "zones.hosts");
      await dialog.getByRole("checkbox").last().check({ force: true });
      await dialog.getByRole("button", { name: say("do.save") }).click();
      await gone();
      await main.getByRole("region", { name, exact: true }).waitFor();
      await menu(name, "do.delete");
      await dialog.getByRole("button", { name: say("do.delete") }).click();
      await gone();
      await main.getByText(name).first().waitFor({ state: "detached" });
    }],
    ["puts a host into a pod and takes it out again", async () => {
      const [host, pod] = [(await ordinaryHost(page)).hypervisor_hostname, `e2e-pod-${run}`];
      const group = main.getByRole("group", { name: say("zones.pod", { name: pod }) });
      const move = async (to) => {
        await main.getByRole("button", { name: host, exact: true }).first().click();
        await dialog.getByLabel(say("zones.podWord")).fill(to);
        await dialog.getByRole("button", { name: say("do.save") }).click();
        await gone();
      };
      await page.goto("/fleet/zones");
      await move(pod);
      await group.getByRole("button", { name: host }).waitFor();
      await move("");
      await group.waitFor({ state: "detached" });
    }],
    ["makes a network on wires", async () => {
      await page.goto("/fleet/physical");
      const name = `e2e-wire-${run}`;
      const make = main.getByRole("button", { name: say("physical.make") });
      await make.or(main.getByText(say("physical.empty"))).first().waitFor();
      if (!await make.count()) return console.log("      (no host names a physical network)");
      await make.first().click();
      await dialog.getByLabel(say("word.name")).fill(name);
      await dialog.getByLabel(say("physical.cidr")).fill("198.51.100.0/24");
      await dialog.getByRole("button", { name: say("networks.create") }).click();
      await gone();
      await main.getByRole("link", { name, exact: true }).waitFor();
      const { networks } = await call(page, "GET", `/network/v2.0/networks?name=${name}`);
      ok(networks[0]["provider:network_type"] === "flat", "the network is not flat");
      // Beside the untagged network there is room for one in each VLAN.
      await make.first().click();
      await dialog.getByLabel(say("word.name")).fill(`${name}-vlan`);
      await dialog.getByLabel(say("physical.segment")).fill("4095");
      await dialog.getByText(say("physical.badSegment")).waitFor();
      await dialog.getByLabel(say("physical.segment")).fill("20");
      await dialog.getByLabel(say("physical.cidr")).fill("198.51.101.0/24");
      await dialog.getByRole("button", { name: say("networks.create") }).click();
      await gone();
      await main.getByText(/VLAN 20/).waitFor();
      const tagged = (await call(page, "GET", `/network/v2.0/networks?name=${name}-vlan`)).networks[0];
      ok(tagged["provider:network_type"] === "vlan" && tagged["provider:segmentation_id"] === 20, "the network is in no VLAN");
      await call(page, "DELETE", `/network/v2.0/networks/${tagged.id}`);
      await call(page, "DELETE", `/network/v2.0/networks/${networks[0].id}`);
      await main.getByRole("link", { name, exact: true }).waitFor({ state: "detached" });
    }],
    ["makes a segment with a range, and a longer one", async () => {
      await page.goto("/fleet/racks");
      const name = `e2e-${run}`;
      await main.getByRole("button", { name: say("segments.create") }).first().click();
      await dialog.getByLabel(say("word.name")).fill(name);
      await dialog.getByLabel(say("segments.interface")).fill("eth9");
      await dialog.getByRole("button", { name: say("segments.create") }).click();
      await gone();
      await menu(name, "segments.addSubnet");
      for (const [label, text] of [["physical.cidr", "10.199.0.0/24"], ["segments.address", "10.199.0.1"], ["segments.first", "10.199.0.100"], ["segments.last", "10.199.0.110"]]) await dialog.getByLabel(say(label)).fill(text);
      await dialog.getByRole("button", { name: say("do.add"), exact: true }).click();
      await gone();
      const card = main.getByRole("listitem").filter({ hasText: name });
      await card.getByRole("button", { name: say("segments.ranges") }).click();
      await dialog.getByLabel(say("segments.last")).fill("10.199.0.150");
      await dialog.getByRole("button", { name: say("do.save") }).click();
      await gone();
      await card.getByText("10.199.0.100 – 10.199.0.150").waitFor();
      await menu(name, "do.delete");
      await dialog.getByRole("button", { name: say("do.delete") }).click();
      await card.waitFor({ state: "detached" });
    }],
    ["adds a machine by hand, and the board has it without a reload", async () => {
      await page.goto("/fleet/machines?new=1");
      const name = `e2e-${run}`;
      const mac = `52:54:00:${[16, 8, 0].map((n) => ((Date.now() >> n) & 255).toString(16).padStart(2, "0")).join(":")}`;
      await dialog.getByLabel(say("word.name")).fill(name);
      await dialog.getByLabel("MAC").fill(mac);
      await dialog.getByRole("button", { name: new RegExp(say("machines.switching")) }).click();
      await page.getByRole("option", { name: say("machines.by.manual") }).click();
      await dialog.getByRole("button", { name: say("machines.add") }).click();
      await gone();
      await main.getByRole("link", { name }).waitFor();
      await call(page, "DELETE", `/hanok/v1/machines/${name}`);
      await main.getByRole("link", { name }).waitFor({ state: "detached" });
    }],
    ["has the doctor mend what is safe to mend", async () => {
      const host = await ordinaryHost(page);
      await call(page, "PUT", `/compute/v2.1/os-services/${host.service.id}`, { status: "disabled" });
      await page.goto("/fleet/doctor");
      const line = main.getByRole("listitem").filter({ hasText: host.hypervisor_hostname });
      await line.getByRole("button", { name: say("doctor.do.host.enable") }).first().click();
      await dialog.getByText(say("doctor.enable")).waitFor();
      await dialog.getByRole("button", { name: say("doctor.do.host.enable") }).click();
      await gone();
      await main.getByRole("button", { name: say("doctor.do.host.enable") }).waitFor({ state: "detached" });
      const { services } = await call(page, "GET", "/compute/v2.1/os-services?binary=nova-compute");
      ok(services.find((s) => s.id === host.service.id).status === "enabled", "the host takes no servers");
    }],
  ]);
}

/** An upload whose wire is cut goes on by itself; after a reload, when the file is chosen again. */
export async function uploads(page, lang) {
  const say = wordsOf(lang);
  const dialog = page.getByRole("dialog");
  const name = `e2e-cut-${Date.now().toString(36)}`;
  const content = Buffer.from(Array.from({ length: 3 << 20 }, (_, i) => i % 251));
  // Files on a disk, as the time of their last change is among what they are known by.
  const dir = mkdtempSync(join(tmpdir(), "hanok-e2e-"));
  const when = new Date(1_700_000_000_000);
  const fileOf = (under, bytes) => {
    const path = join(dir, under, `${name}.raw`);
    mkdirSync(dirname(path));
    writeFileSync(path, bytes);
    utimesSync(path, when, when);
    return path;
  };
  const file = fileOf("same", content);
  const written = fileOf("written", Buffer.from(content).fill(0, 1 << 20, 2 << 20));
  const row = page.getByRole("row").filter({ hasText: name });
  let open = false;
  await page.route("**/upload?offset=*", (route) => (open || /offset=0$/.test(route.request().url()) ? route.continue() : route.abort()));
  await steps(`uploads, ${lang}`, page, [
    ["a cut wire is said", async () => {
      await page.goto("/images?new=1");
      await dialog.locator("input[type=file]").setInputFiles(file);
      await dialog.getByRole("button", { name: say("images.uploadDo"), exact: true }).click();
      await dialog.waitFor({ state: "hidden" });
      await page.getByText(say("images.waiting", { done: "256 KiB" })).waitFor();
    }],
    ["after a reload another file is not taken for it, and the same goes on to its end", async () => {
      await page.goto("/images");
      const again = page.getByLabel(`${say("images.chooseAgain")}: ${name}`);
      await again.setInputFiles(written);
      await page.getByText(say("images.otherFile", { file: `${name}.raw` })).waitFor();
      await again.setInputFiles(file);
      await page.getByText(say("images.waiting", { done: "256 KiB" })).waitFor();
      open = true;
      await row.getByText(say("state.active"), { exact: true }).waitFor();
      const image = await page.evaluate(async (n) => (await (await fetch(`/image/v2/images?name=${n}`)).json()).images[0], name);
      ok(image.size === content.length, `the image has ${image.size} bytes`);
      await page.evaluate(async (id) => {
        const { csrf } = await (await fetch("/hanok/v1/session")).json();
        await fetch(`/image/v2/images/${id}`, { method: "DELETE", headers: { "x-hanok-csrf": csrf } });
      }, image.id);
    }],
  ]);
  await page.unroute("**/upload?offset=*");
  rmSync(dir, { recursive: true });
}

/** RFC 6238 with its own example of a seed. */
function codeNow(key = Buffer.from("12345678901234567890")) {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const digest = createHmac("sha1", key).update(counter).digest();
  return String((digest.readUInt32BE(digest.at(-1) & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** Whoever has to prove more than a password is asked for the code, once the password is good. */
export async function codes(browser, admin, lang) {
  const say = wordsOf(lang);
  const name = `e2e-code-${Date.now().toString(36)}`;
  const { user } = await call(admin, "POST", "/identity/v3/users", { user: { name, password: "first and last", domain_id: "default" } });
  await call(admin, "POST", "/identity/v3/credentials", { credential: { type: "totp", user_id: user.id, blob: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" } });
  await call(admin, "PATCH", `/identity/v3/users/${user.id}`, { user: { options: { multi_factor_auth_rules: [["password", "totp"]] } } });
  const { page, context } = await open(browser, { lang });
  const code = page.getByLabel(say("signin.passcode"), { exact: true });
  const enter = () => page.getByRole("button", { name: say("signin.do"), exact: true }).click();
  await steps(`one-time codes, ${lang}`, page, [
    ["a good password asks for the code, and a wrong one is said", async () => {
      await page.goto("/");
      await page.getByLabel(say("signin.user"), { exact: true }).fill(name);
      await page.getByLabel(say("signin.password"), { exact: true }).fill("first and last");
      ok(await code.count() === 0, "a code is asked for before anything is known");
      await enter();
      await page.getByText(say("signin.code")).waitFor();
      await accessible(page, "the sign-in page with a code");
      await code.fill("000 000");
      await enter();
      await page.getByText(say("signin.wrongCode")).waitFor();
    }],
    ["and lets in with the right one", async () => {
      await code.fill(codeNow());
      await enter();
      await page.getByRole("navigation").waitFor();
    }],
    ["a wrong old password is said, and who has changed it signs in anew", async () => {
      await page.goto("/account");
      await page.getByRole("button", { name: say("password.change"), exact: true }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel(say("password.new"), { exact: true }).fill("second and last");
      const save = async (old) => {
        await dialog.getByLabel(say("password.old"), { exact: true }).fill(old);
        await dialog.getByRole("button", { name: say("do.save"), exact: true }).click();
      };
      await save("not this one");
      await dialog.getByText(say("password.wrong")).waitFor();
      await save("first and last");
      await page.getByText(say("signin.changed")).waitFor();
    }],
  ]);
  await context.close();
  await call(admin, "DELETE", `/identity/v3/users/${user.id}`);
}

/** What a base32 text holds. */
function bytesOf(base32) {
  const bits = [...base32].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  return Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
}

/** Somebody sets up codes on his own page, signs in with one, and an operator helps when the phone is lost. */
export async function ownCodes(browser, admin, lang) {
  const say = wordsOf(lang);
  const name = `e2e-own-${Date.now().toString(36)}`;
  const { user } = await call(admin, "POST", "/identity/v3/users", { user: { name, password: "first and last", domain_id: "default" } });
  const { page, context, faults } = await open(browser, { lang });
  const dialog = page.getByRole("dialog");
  const enter = async () => {
    await page.goto("/");
    await page.getByLabel(say("signin.user"), { exact: true }).fill(name);
    await page.getByLabel(say("signin.password"), { exact: true }).fill("first and last");
    await page.getByRole("button", { name: say("signin.do"), exact: true }).click();
  };
  let key;
  await steps(`own one-time codes, ${lang}`, page, [
    ["are set up with a QR code and the secret in text", async () => {
      await enter();
      await page.getByRole("navigation").waitFor();
      await page.goto("/account");
      await page.getByRole("button", { name: say("codes.set") }).click();
      await dialog.getByRole("img", { name: say("codes.qr") }).waitFor();
      const text = await dialog.getByRole("button", { name: new RegExp(say("do.copy")) }).innerText();
      key = bytesOf(text.replaceAll(/[^A-Z2-7]/g, ""));
      ok(key.length === 20, `the secret has ${key.length} bytes`);
      await accessible(page, "the page that sets up codes");
      await dialog.getByLabel(say("signin.passcode")).fill(codeNow(key));
      await dialog.getByRole("button", { name: say("codes.on"), exact: true }).click();
      await dialog.waitFor({ state: "hidden" });
      await page.getByRole("main").getByText(say("codes.isOn"), { exact: true }).waitFor();
    }],
    ["are asked for from then on", async () => {
      await context.clearCookies();
      await enter();
      await page.getByText(say("signin.code")).waitFor();
    }],
    ["and an operator switches them off for a lost phone", async () => {
      await admin.goto("/fleet/users");
      const row = admin.getByRole("row").filter({ hasText: name });
      await row.getByRole("button", { name }).click();
      await admin.getByRole("menuitem", { name: say("users.codesOff") }).click();
      await admin.getByRole("dialog").getByRole("button", { name: say("codes.off"), exact: true }).click();
      await admin.getByRole("dialog").waitFor({ state: "hidden" });
      await enter();
      await page.getByRole("navigation").waitFor();
    }],
  ]);
  await context.close();
  await call(admin, "DELETE", `/identity/v3/users/${user.id}`);
  return faults;
}
