import type { Server } from "~/api/types";

/** Floating addresses first: those are what people connect to. */
export function addressesOf(server: Server): string[] {
  const all = Object.values(server.addresses).flat();
  const rank = (kind: string) => (kind === "floating" ? 0 : 1);
  return all.toSorted((a, b) => rank(a["OS-EXT-IPS:type"]) - rank(b["OS-EXT-IPS:type"])).map((a) => a.addr);
}
