// Where everything stands: the outside on top, routers under it, networks side by side, servers under theirs.
import type { Network, Port, Router, Server, Subnet } from "~/api/types";

export interface Spot { id: string; kind: "network" | "router" | "server"; x: number; y: number; label: string; note: string; state: string; outside?: boolean }
export interface Wire { id: string; from: string; to: string; note: string }
export interface Plan { spots: Spot[]; wires: Wire[] }
export interface World { networks: Network[]; subnets: Subnet[]; routers: Router[]; ports: Port[]; servers: Server[] }

export const WIDE = 212;
const COLUMN = 250;
const ROW = 64;
const LEVEL = { outside: 0, router: 130, network: 270, server: 370 };

export function plan(w: World): Plan {
  const cidrs = (id: string) => w.subnets.filter((s) => s.network_id === id).map((s) => s.cidr).join(", ");
  const outer = w.networks.filter((n) => n["router:external"]);
  const inner = w.networks.filter((n) => !n["router:external"]).toSorted((a, b) => a.name.localeCompare(b.name));
  const spots: Spot[] = [];
  const wires: Wire[] = [];
  const width = Math.max(inner.length, w.routers.length, outer.length, 1) * COLUMN;
  const across = (i: number, n: number) => (width / n) * (i + 0.5) - WIDE / 2;
  outer.forEach((n, i) => spots.push({ id: n.id, kind: "network", x: across(i, outer.length), y: LEVEL.outside, label: n.name, note: cidrs(n.id), state: n.status, outside: true }));
  w.routers.forEach((r, i) => {
    spots.push({ id: r.id, kind: "router", x: across(i, w.routers.length), y: LEVEL.router, label: r.name, note: "", state: r.status });
    const gateway = r.external_gateway_info;
    if (gateway) wires.push({ id: `${r.id}-out`, from: r.id, to: gateway.network_id, note: gateway.external_fixed_ips[0]?.ip_address ?? "" });
  });
  inner.forEach((n, i) => spots.push({ id: n.id, kind: "network", x: across(i, inner.length), y: LEVEL.network, label: n.name, note: cidrs(n.id), state: n.status }));
  const known = new Set(spots.map((s) => s.id));
  for (const p of w.ports.filter((x) => x.device_owner.includes("router_interface") && known.has(x.device_id) && known.has(x.network_id))) {
    wires.push({ id: p.id, from: p.device_id, to: p.network_id, note: p.fixed_ips[0]?.ip_address ?? "" });
  }
  const depth = new Map<string, number>();
  for (const s of w.servers.toSorted((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }))) {
    const ports = w.ports.filter((p) => p.device_id === s.id && known.has(p.network_id));
    const home = ports[0]?.network_id ?? "";
    const at = depth.get(home) ?? 0;
    depth.set(home, at + 1);
    const x = spots.find((spot) => spot.id === home)?.x ?? width;
    spots.push({ id: s.id, kind: "server", x, y: LEVEL.server + at * ROW, label: s.name, note: ports.map((p) => p.fixed_ips[0]?.ip_address ?? "").join(" · "), state: s.status });
    for (const p of ports) wires.push({ id: p.id, from: s.id, to: p.network_id, note: "" });
  }
  return { spots, wires };
}

/** What a line drawn from one thing to another would do, or nothing. */
export function meaning(p: Plan, from: string, to: string): { verb: "plug" | "join"; device: Spot; network: Spot } | null {
  const ends = [from, to].map((id) => p.spots.find((s) => s.id === id));
  const network = ends.find((s) => s?.kind === "network" && !s.outside);
  const device = ends.find((s) => s && s.kind !== "network");
  if (!network || !device || p.wires.some((w) => w.from === device.id && w.to === network.id)) return null;
  return { verb: device.kind === "server" ? "plug" : "join", device, network };
}
