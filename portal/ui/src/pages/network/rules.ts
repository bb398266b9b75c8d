// Security group rules as a matrix: services down, who may across.
import { t } from "~/i18n";
import type { Rule, SecurityGroup } from "~/api/types";

export interface Service { id: string; protocol: string | null; from: number | null; to: number | null }

const usual: Record<string, string> = { "tcp/22": "SSH", "tcp/80": "HTTP", "tcp/443": "HTTPS", "tcp/3306": "MySQL", "tcp/5432": "PostgreSQL", "tcp/6379": "Redis", "udp/53": "DNS", "tcp/3389": "RDP", icmp: "ping" };
export const offered: Service[] = [
  { id: "tcp/22", protocol: "tcp", from: 22, to: 22 }, { id: "tcp/80", protocol: "tcp", from: 80, to: 80 }, { id: "tcp/443", protocol: "tcp", from: 443, to: 443 },
  { id: "icmp", protocol: "icmp", from: null, to: null },
];

/** What a service wrote down for the group that everybody has is no text of a user. */
export const aboutOf = (g: SecurityGroup): string => (g.name === "default" && g.description === "Default security group" ? t("groups.default") : g.description);

export const serviceOf = (r: Rule): Service => {
  const ports = r.port_range_min === null ? "" : r.port_range_min === r.port_range_max ? `/${r.port_range_min}` : `/${r.port_range_min}–${r.port_range_max}`;
  const protocol = r.protocol === "ipv6-icmp" || r.protocol === "icmpv6" ? "icmp" : r.protocol;
  return { id: `${protocol ?? "*"}${ports}`, protocol, from: r.port_range_min, to: r.port_range_max };
};

/** “SSH”, “tcp 8000–8080”, and * for everything. */
export function serviceName(id: string): string {
  return usual[id] ?? (id === "*" ? "*" : id.replace("/", " "));
}
export const short = (r: Rule) => serviceName(serviceOf(r).id);
export const inward = (g: SecurityGroup) => g.security_group_rules.filter((r) => r.direction === "ingress");

/** Who may: a network (all of both address families is one column), or the members of a group. */
export function peerOf(r: Rule): string {
  if (r.remote_group_id) return `group:${r.remote_group_id}`;
  return !r.remote_ip_prefix || r.remote_ip_prefix === "0.0.0.0/0" || r.remote_ip_prefix === "::/0" ? "any" : r.remote_ip_prefix;
}

export interface Matrix { services: Service[]; peers: string[]; at: (service: string, peer: string) => Rule[] }

export function matrix(rules: Rule[], extraPeers: string[] = []): Matrix {
  const services = new Map(offered.map((s) => [s.id, s]));
  const peers = new Set(["any", ...extraPeers]);
  const cells = new Map<string, Rule[]>();
  for (const r of rules) {
    const service = serviceOf(r);
    services.set(service.id, service);
    peers.add(peerOf(r));
    const key = `${service.id}\n${peerOf(r)}`;
    cells.set(key, [...(cells.get(key) ?? []), r]);
  }
  return { services: [...services.values()], peers: [...peers], at: (s, p) => cells.get(`${s}\n${p}`) ?? [] };
}

/** The rules that fill one cell. Everybody means both address families; a group too. */
export function rulesFor(group: string, direction: Rule["direction"], s: Service, peer: string): Record<string, unknown>[] {
  const families = peer.includes(":") && !peer.startsWith("group:") ? ["IPv6"] : peer.includes("/") ? ["IPv4"] : ["IPv4", "IPv6"];
  return families.map((ethertype) => ({
    security_group_id: group, direction, ethertype,
    ...(s.protocol ? { protocol: s.protocol === "icmp" && ethertype === "IPv6" ? "ipv6-icmp" : s.protocol } : {}),
    ...(s.from !== null ? { port_range_min: s.from, port_range_max: s.to } : {}),
    ...(peer.startsWith("group:") ? { remote_group_id: peer.slice(6) } : peer === "any" ? {} : { remote_ip_prefix: peer }),
  }));
}

/** “8080”, “8000-8080”, “tcp/443”, “udp 53”, “icmp”, “*”. */
export function parseService(text: string): Service | null {
  const clean = text.trim().toLowerCase();
  if (clean === "*" || clean === "all") return { id: "*", protocol: null, from: null, to: null };
  if (clean === "icmp" || clean === "ping") return offered[3]!;
  const fit = /^(?:(tcp|udp|sctp)[\s/]+)?(\d{1,5})(?:\s*[-–]\s*(\d{1,5}))?$/.exec(clean);
  if (!fit) return null;
  const [from, to] = [Number(fit[2]), Number(fit[3] ?? fit[2])];
  if (from < 1 || to > 65535 || from > to) return null;
  const protocol = fit[1] ?? "tcp";
  return { id: `${protocol}/${from === to ? from : `${from}–${to}`}`, protocol, from, to };
}
