// Where other computers find the region.

/** Where this page came from, with the port, which an invitation without one would take for Hanok's own. */
export const region = ({ hostname, port, protocol }: Pick<Location, "hostname" | "port" | "protocol">) => `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
export const isLoopback = ({ hostname }: Pick<Location, "hostname">) => /^(localhost$|127\.|\[::1\]$)/.test(hostname);
