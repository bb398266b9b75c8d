// Two tabs of one session: one stream between them, and the second goes on when the first is closed.
import { ok, steps } from "../check.mjs";

export async function tabs(first) {
  const context = first.context();
  // Of the second tab: the first one's begins anew when the network has changed.
  let streams = 0;
  let second;
  context.on("request", (r) => {
    if (new URL(r.url()).pathname === "/hanok/v1/events" && r.resourceType() === "eventsource" && r.frame().page() === second) streams++;
  });
  const rename = (page, name) => page.evaluate(async (to) => {
    const { csrf } = await (await fetch("/hanok/v1/session")).json();
    const headers = { "content-type": "application/json", "x-hanok-csrf": csrf, "openstack-api-version": "compute 2.96" };
    const { servers } = await (await fetch("/compute/v2.1/servers", { headers })).json();
    await fetch(`/compute/v2.1/servers/${servers[0].id}`, { method: "PUT", headers, body: JSON.stringify({ server: { name: to } }) });
    return servers[0].name;
  }, name);
  let old;
  await steps("tabs", first, [
    ["a second tab hears without a stream of its own", async () => {
      await first.goto("/servers");
      await first.getByText("Live", { exact: true }).waitFor();
      second = await context.newPage();
      await second.goto("/servers");
      await second.getByText("Live", { exact: true }).waitFor();
      old = await rename(first, "e2e-tab-1");
      await second.getByRole("row").filter({ hasText: "e2e-tab-1" }).waitFor();
      ok(streams === 0, `${streams} more streams for a second tab`);
    }],
    ["and takes the stream over when the first is gone", async () => {
      await first.goto("about:blank");
      await second.getByText("Live", { exact: true }).waitFor();
      await rename(second, "e2e-tab-2");
      await second.getByRole("row").filter({ hasText: "e2e-tab-2" }).waitFor();
      ok(streams > 0, "it has heard without a stream");
      await rename(second, old);
    }],
  ]);
}
