// How full the hosts are, and how many more of each size they can take.
import type { Flavor, Host } from "~/api/types";

export interface Totals { cores: [used: number, all: number]; ram: [number, number]; disk: [number, number]; servers: number }

export function totals(hosts: Host[]): Totals {
  const sum = (f: (h: Host) => number | undefined) => hosts.reduce((n, h) => n + (f(h) ?? 0), 0);
  return {
    cores: [sum((h) => h.vcpus_used), sum((h) => h.vcpus)], ram: [sum((h) => h.memory_mb_used), sum((h) => h.memory_mb)],
    disk: [sum((h) => h.local_gb_used), sum((h) => h.local_gb)], servers: sum((h) => h.running_vms),
  };
}

/** By memory and disk, which are not shared out twice; host by host, since a server is not cut in two. */
export function fits(flavor: Flavor, hosts: Host[]): number {
  return hosts.filter((h) => h.state === "up" && h.status === "enabled").reduce((n, h) => {
    const ram = ((h.memory_mb ?? 0) - (h.memory_mb_used ?? 0)) / Math.max(1, flavor.ram);
    const disk = flavor.disk > 0 ? ((h.local_gb ?? 0) - (h.local_gb_used ?? 0)) / flavor.disk : Infinity;
    return n + Math.max(0, Math.floor(Math.min(ram, disk)));
  }, 0);
}

export const hostState = (h: Host) => (h.state !== "up" ? "down" : h.status === "enabled" ? "up" : "disabled");
