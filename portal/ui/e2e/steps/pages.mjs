// Every page that the router knows, with something to show: accessible in both appearances, and all of it within
// reach of the keyboard. A new page is walked as soon as it has a route.
import { readFileSync } from "node:fs";
import { accessible, ok, steps } from "../check.mjs";

const router = readFileSync(new URL("../../src/router.tsx", import.meta.url), "utf8");
export const routes = [...router.matchAll(/^\s*page\("([^"]+)"/gm)].map(([, path]) => path);

/** Where the first thing of each kind is found. */
const lists = {
  "/servers/$id": ["/compute/v2.1/servers?status=ACTIVE&sort_key=created_at&sort_dir=asc", "servers"], "/networks/$id": ["/network/v2.0/networks?router:external=false", "networks"],
  "/routers/$id": ["/network/v2.0/routers", "routers"], "/security-groups/$id": ["/network/v2.0/security-groups?name=default", "security_groups"],
  "/fleet/hosts/$id": ["/compute/v2.1/os-hypervisors", "hypervisors"], "/fleet/machines/$id": ["/hanok/v1/machines", "machines"],
};
/** Log and console are of real servers: guests.mjs. */
const tabs = { "/servers/$id": ["network", "metrics", "activity"], "/security-groups/$id": ["out"] };

/** The addresses of all pages for one who is signed in; operators' pages are those below /fleet. */
export async function addresses(page, operator) {
  const all = [];
  for (const route of routes.filter((r) => /^\/fleet/.test(r) === operator)) {
    if (!route.includes("$")) all.push([route, route]);
    else {
      ok(lists[route], `steps/pages.mjs does not know where to find something for ${route}`);
      const id = await page.evaluate(async ([path, many]) => (await (await fetch(path, { headers: { "openstack-api-version": "compute 2.96" } })).json())[many]?.[0]?.id, lists[route]);
      ok(id, `nothing there for ${route}`);
      const path = route.replace("$id", id);
      all.push([route, path], ...(tabs[route] ?? []).map((tab) => [`${route}?tab=${tab}`, `${path}?tab=${tab}`]));
    }
  }
  return all;
}

/** The page as it is when nothing is being waited for. With `within` it is come to as by a link, from another page. */
export async function settled(page, path, within = false) {
  if (within) {
    await page.evaluate((to) => {
      document.querySelector("main h1")?.setAttribute("data-before", "");
      history.pushState({}, "", to);
      dispatchEvent(new PopStateEvent("popstate"));
    }, path);
  } else await page.goto(path);
  await page.locator("main h1:not([data-before])").first().waitFor();
  await page.waitForFunction(() => !document.querySelector("main .breathe.bg-sunk") && document.fonts.status === "loaded");
}

/** What can be pressed and is seen, but is no stop of the Tab key nor part of something that the arrows move in. */
const unreachable = (page) => page.evaluate(() => {
  const composite = "[role=tablist],[role=radiogroup],[role=listbox],[role=menu],[role=grid],[role=table]";
  const handlers = (element) => {
    const key = Object.keys(element).find((k) => k.startsWith("__reactProps$"));
    const props = key ? element[key] : {};
    return Boolean(props.onClick || props.onPointerDown || props.onMouseDown);
  };
  const wrong = [];
  for (const e of document.body.querySelectorAll("*")) {
    const native = e.matches("a[href],button,input,select,textarea,summary,[role=button],[role=link],[role=switch],[role=tab]");
    if (!native && !handlers(e)) continue;
    if (!e.checkVisibility({ visibilityProperty: true }) || e.closest("[inert],[aria-hidden=true],.react-flow")) continue;
    if (e.matches("html,body,#root,main,label,:disabled,[aria-disabled=true]")) continue;
    if (e.tabIndex >= 0 || e.closest(composite) || e.querySelector("a[href],button,input")) continue;
    // A press on the words of a field goes to the field.
    if (e.id && document.querySelector(`[aria-labelledby~="${CSS.escape(e.id)}"]`)) continue;
    wrong.push(e.outerHTML.slice(0, 160));
  }
  return wrong;
});

/** Tab goes to everything that it should, once, and comes back; what has the focus shows it. */
async function tabbed(page, where) {
  const count = await page.evaluate(() => {
    const stops = [...document.querySelectorAll("a[href],button,input,select,textarea,summary,[tabindex]")]
      .filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true }) && !e.closest("[inert]"));
    globalThis.met = new Set();
    document.activeElement?.blur();
    getSelection()?.removeAllRanges();
    return stops.length;
  });
  const dark = [];
  for (let i = 0; i < count + 4; i++) {
    await page.keyboard.press("Tab");
    const seen = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body || globalThis.met.has(e)) return null;
      globalThis.met.add(e);
      const shows = [e, e.nextElementSibling, e.closest("label"), e.closest(".react-flow__node")].filter(Boolean).some((x) => {
        const s = getComputedStyle(x);
        return (s.outlineStyle !== "none" && s.outlineWidth !== "0px") || s.boxShadow !== "none" || x.matches("iframe,pre,canvas");
      });
      return shows ? "" : e.outerHTML.slice(0, 160);
    });
    if (seen) dark.push(seen);
  }
  ok(dark.length === 0, `${where}: the focus cannot be seen on\n  ${dark.join("\n  ")}`);
  const met = await page.evaluate(() => globalThis.met.size);
  ok(met >= Math.min(count, 3), `${where}: Tab met ${met} of ${count}`);
}

/** Whether a page is come to by a link: one walk loads each anew, the others go as people do. A tab is in the page before it. */
const byLink = (n, path) => n > 0 && !path.includes("?tab=");

export async function walk(page, { who, lang, keyboard }) {
  const list = await addresses(page, who === "admin");
  await steps(`${who}'s pages, ${lang}`, page, list.map(([name, path], n) => [name, async () => {
    await page.emulateMedia({ colorScheme: "light" });
    await settled(page, path, !keyboard && byLink(n, path));
    await accessible(page, `${name}, light`);
    await page.emulateMedia({ colorScheme: "dark" });
    // Only colours are others.
    await accessible(page, `${name}, dark`, ["color-contrast"]);
    const wrong = await unreachable(page);
    ok(wrong.length === 0, `${name} has what no key reaches:\n  ${wrong.join("\n  ")}`);
    if (keyboard) await tabbed(page, name);
  }]), true);
}

/** On a phone: accessible, and nothing wider than the screen. */
export async function phone(page, { who, lang }) {
  const list = await addresses(page, who === "admin");
  await steps(`${who}'s pages on a phone, ${lang}`, page, list.map(([name, path], n) => [name, async () => {
    await settled(page, path, byLink(n, path));
    await accessible(page, name);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    ok(wide <= 0, `${name} is ${wide} px wider than the screen`);
  }]), true);
}
