// Two tabs of one session: one stream between them, and the second goes on when the first is closed.
import { ok, steps } from "../check.mjs";

export async function tabs(first) {
  const context = first.context();
  let streams = 0;
  context.on("request", (r) => { if (new URL(r.url()).pathname === "/hanok/v1/events" && r.resourceType() === "eventsource") streams++; });
  const rename = (page, name) => page.evaluate(async (to) => {
    const { csrf } = await (await fetch("/hanok/v1/session")).json();
    const headers = { "content-type": "application/json", "x-hanok-csrf": csrf, "openstack-api-version": "compute 2.96" };
    const { servers } = await (await fetch("/compute/v2.1/servers", { headers })).json();
    await fetch(`/compute/v2.1/servers/${servers[0].id}`, { method: "PUT", headers, body: JSON.stringify({ server: { name: to } }) });
    return servers[0].name;
  }, name);
  let second;
  let old;
  await steps("tabs", first, [
    ["a second tab hears without a stream of its own", async () => {
      await first.goto("/servers");
      await first.getByText("Live", { exact: true }).waitFor();
      const before = streams;
      second = await context.newPage();
      await second.goto("/servers");
      await second.getByText("Live", { exact: true }).waitFor();
      old = await rename(first, "e2e-tab-1");
      await second.getByRole("row").filter({ hasText: "e2e-tab-1" }).waitFor();
      ok(streams === before, `${streams - before} more streams for a second tab`);
    }],
    ["and takes the stream over when the first is gone", async () => {
      await first.goto("about:blank");
      await second.getByText("Live", { exact: true }).waitFor();
      await rename(second, "e2e-tab-2");
      await second.getByRole("row").filter({ hasText: "e2e-tab-2" }).waitFor();
      await rename(second, old);
    }],
  ]);
}
