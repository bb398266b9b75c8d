import { expect, test } from "vitest";
import type { Network, Port, Router, Server } from "~/api/types";
import { meaning, plan, type World } from "./layout";

const network = (id: string, outside = false) => ({ id, name: id, status: "ACTIVE", "router:external": outside }) as Network;
const world: World = {
  networks: [network("out", true), network("web"), network("db")], subnets: [],
  routers: [{ id: "r", name: "r", status: "ACTIVE", external_gateway_info: { network_id: "out", external_fixed_ips: [] } } as unknown as Router],
  ports: [
    { id: "p1", network_id: "web", device_id: "r", device_owner: "network:router_interface", fixed_ips: [] },
    { id: "p2", network_id: "web", device_id: "s", device_owner: "compute:nova", fixed_ips: [] },
  ] as unknown as Port[],
  servers: [{ id: "s", name: "s", status: "ACTIVE" } as Server],
};

test("everything has a place of its own and the wires that there are", () => {
  const { spots, wires } = plan(world);
  expect(new Set(spots.map((s) => `${s.x} ${s.y}`)).size).toBe(spots.length);
  expect(wires.map((w) => `${w.from}-${w.to}`)).toEqual(["r-out", "r-web", "s-web"]);
});

test("a drawn line plugs or joins, but not twice and not into the outside", () => {
  const p = plan(world);
  expect(meaning(p, "s", "db")?.verb).toBe("plug");
  expect(meaning(p, "db", "r")?.verb).toBe("join");
  expect(meaning(p, "s", "web")).toBeNull();
  expect(meaning(p, "s", "out")).toBeNull();
  expect(meaning(p, "s", "r")).toBeNull();
});
