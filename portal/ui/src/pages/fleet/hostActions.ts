// What can be asked of a host.
import { ask } from "~/api/http";
import { queries } from "~/api/query";
import type { Host } from "~/api/types";

const again = (h: Host) => Promise.all([queries.invalidateQueries({ queryKey: ["list", "host"] }), queries.invalidateQueries({ queryKey: ["item", "host", h.id] }), queries.invalidateQueries({ queryKey: ["host", h.id] })]);

/** Whether a host takes new servers. */
export function setEnabled(h: Host, on: boolean): Promise<unknown> {
  return ask(`/compute/v2.1/os-services/${h.service.id}`, { method: "PUT", body: { status: on ? "enabled" : "disabled" } }).then(() => again(h));
}

export function drain(h: Host, on: boolean): Promise<unknown> {
  return ask(`/hanok/v1/hosts/${encodeURIComponent(h.hypervisor_hostname)}/drain`, { method: on ? "POST" : "DELETE" }).then(() => again(h));
}
