import { ask } from "~/api/http";
import type { Port } from "~/api/types";
import { sayError } from "~/ui/Toasts";

const joins = (p: Port) => p.device_owner.includes("router_interface");
const leave = (p: Port) => ask(`/network/v2.0/routers/${p.device_id}/remove_router_interface`, { method: "PUT", body: { port_id: p.id } });

/** With the address that the router had there, which need not be the gateway's. */
async function join(p: Port): Promise<void> {
  const { network_id, project_id, name, port_security_enabled } = p;
  const fixed_ips = p.fixed_ips.map(({ subnet_id, ip_address }) => ({ subnet_id, ip_address }));
  const body = { port: { network_id, project_id, name, fixed_ips, port_security_enabled, security_groups: p.security_groups } };
  const { port } = await ask<{ port: Port }>("/network/v2.0/ports", { method: "POST", body });
  await ask(`/network/v2.0/routers/${p.device_id}/add_router_interface`, { method: "PUT", body: { port_id: port.id } });
}

/**
 * Routers let the network go first: creating it joined them in the same step. Whatever else is plugged in keeps it: then
 * they stay, and the service says why. They are joined again where it refuses for what cannot be seen from here.
 */
export async function removeNetwork(id: string): Promise<void> {
  const { ports } = await ask<{ ports: Port[] }>(`/network/v2.0/ports?network_id=${id}`);
  const free = ports.every((p) => joins(p) || p.device_owner === "network:dhcp");
  const left: Port[] = [];
  try {
    for (const p of free ? ports.filter(joins) : []) {
      await leave(p);
      left.push(p);
    }
    await ask(`/network/v2.0/networks/${id}`, { method: "DELETE" });
  } catch (error) {
    for (const p of left) await join(p).catch(sayError);
    throw error;
  }
}

/** Networks go first: a router that joins some cannot be deleted. */
export async function removeRouter(id: string): Promise<void> {
  const { ports } = await ask<{ ports: Port[] }>(`/network/v2.0/ports?device_id=${id}`);
  for (const p of ports.filter(joins)) await leave(p);
  await ask(`/network/v2.0/routers/${id}`, { method: "DELETE" });
}
