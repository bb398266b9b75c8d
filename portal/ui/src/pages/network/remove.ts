import { ask } from "~/api/http";
import type { Port } from "~/api/types";

/** Routers let the network go first: creating it joined them in the same step. Servers keep it, and the service says so. */
export async function removeNetwork(id: string): Promise<void> {
  const { ports } = await ask<{ ports: Port[] }>(`/network/v2.0/ports?network_id=${id}`);
  if (!ports.some((p) => p.device_owner.startsWith("compute:"))) {
    for (const p of ports.filter((x) => x.device_owner.includes("router_interface"))) {
      await ask(`/network/v2.0/routers/${p.device_id}/remove_router_interface`, { method: "PUT", body: { port_id: p.id } });
    }
  }
  await ask(`/network/v2.0/networks/${id}`, { method: "DELETE" });
}

/** Networks go first: a router that joins some cannot be deleted. */
export async function removeRouter(id: string): Promise<void> {
  const { ports } = await ask<{ ports: Port[] }>(`/network/v2.0/ports?device_id=${id}`);
  for (const p of ports.filter((x) => x.device_owner.includes("router_interface"))) {
    await ask(`/network/v2.0/routers/${id}/remove_router_interface`, { method: "PUT", body: { port_id: p.id } });
  }
  await ask(`/network/v2.0/routers/${id}`, { method: "DELETE" });
}
