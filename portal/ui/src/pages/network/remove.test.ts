import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Port } from "~/api/types";
import { removeNetwork } from "./remove";

const port = (part: Partial<Port>): Port => ({ id: "p", name: "", network_id: "n", mac_address: "", status: "ACTIVE", device_id: "", device_owner: "",
  fixed_ips: [], security_groups: [], project_id: "me", port_security_enabled: true, ...part });
const dhcp = port({ id: "d", device_owner: "network:dhcp" });
const leg = port({ id: "i", device_id: "r", device_owner: "network:router_interface", port_security_enabled: false, fixed_ips: [{ subnet_id: "s", ip_address: "10.0.0.9" }] });

let ports: Port[];
let refuse: string | null;
let asked: [string, unknown][];
beforeEach(() => {
  [ports, refuse, asked] = [[], null, []];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    const say = (status: number, body?: unknown) => new Response(body === undefined ? null : JSON.stringify(body), { status });
    if (init.method === "GET") return say(200, { ports });
    const what = `${init.method} ${url.replace("/network/v2.0/", "")}`;
    asked.push([what, init.body ? JSON.parse(String(init.body)) : null]);
    if (what === refuse) return say(409, { NeutronError: { type: "NetworkInUse", message: "still in use" } });
    return init.method === "DELETE" ? say(204) : say(200, what === "POST ports" ? { port: port({ id: "again" }) } : {});
  });
});
afterEach(() => vi.unstubAllGlobals());
const verbs = () => asked.map(([what]) => what);

test("routers let a network go that nothing else uses", async () => {
  ports = [dhcp, leg];
  await removeNetwork("n");
  expect(verbs()).toEqual(["PUT routers/r/remove_router_interface", "DELETE networks/n"]);
});

test("a network that anything is plugged into keeps its routers, and the service says why", async () => {
  refuse = "DELETE networks/n";
  for (const device_owner of ["", "compute:nova", "baremetal:none", "network:router_gateway", "network:floatingip"]) {
    [ports, asked] = [[dhcp, leg, port({ device_owner })], []];
    await expect(removeNetwork("n")).rejects.toThrow("still in use");
    expect(verbs()).toEqual(["DELETE networks/n"]);
  }
});

test("routers are joined again, where they were, to a network that stays", async () => {
  [ports, refuse] = [[dhcp, leg], "DELETE networks/n"];
  await expect(removeNetwork("n")).rejects.toThrow("still in use");
  expect(verbs().slice(2)).toEqual(["POST ports", "PUT routers/r/add_router_interface"]);
  expect(asked[2]![1]).toMatchObject({ port: { network_id: "n", fixed_ips: [{ subnet_id: "s", ip_address: "10.0.0.9" }], port_security_enabled: false } });
  expect(asked[3]![1]).toEqual({ port_id: "again" });
});

test("so are those that had let go when another would not", async () => {
  ports = [leg, { ...leg, id: "j", device_id: "q" }];
  refuse = "PUT routers/q/remove_router_interface";
  await expect(removeNetwork("n")).rejects.toThrow("still in use");
  expect(verbs()).toEqual(["PUT routers/r/remove_router_interface", refuse, "POST ports", "PUT routers/r/add_router_interface"]);
});
