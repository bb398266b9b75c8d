// Every kind of thing that the pages list: where it is, how it is wrapped, whose it is.
import { ask } from "./http";
import type * as T from "./types";

export interface Kinds {
  server: T.Server; image: T.Image; network: T.Network; subnet: T.Subnet; router: T.Router; port: T.Port;
  floatingip: T.FloatingIp; security_group: T.SecurityGroup; keypair: T.Keypair; flavor: T.Flavor;
  host: T.Host; work: T.Work; machine: T.Machine; project: T.Project; user: T.User;
}
export type Kind = keyof Kinds;
export type Scope = "mine" | "all";

export interface KindDef<K extends Kind> {
  list: (scope: Scope) => string;
  many: string;
  /** Absent where one alone cannot be had: then a change means the list again. */
  item?: (id: string) => string;
  one?: string;
  id: (x: Kinds[K]) => string;
  name: (x: Kinds[K]) => string;
  owner?: (x: Kinds[K]) => string;
  /** Others' things that everybody may use. */
  open?: (x: Kinds[K]) => boolean;
  headers?: Record<string, string>;
  unwrap?: (raw: never) => Kinds[K];
}

const LIMIT = 1000;
const net = <K extends "network" | "subnet" | "router" | "port">(one: K, many: string, open?: (x: Kinds[K]) => boolean): KindDef<K> => ({
  list: () => `/network/v2.0/${many}`, many, item: (id) => `/network/v2.0/${many}/${id}`, one,
  id: (x) => x.id, name: (x) => x.name || x.id, owner: (x) => x.project_id, open,
});

export const kinds: { [K in Kind]: KindDef<K> } = {
  server: {
    list: (scope) => `/compute/v2.1/servers/detail?limit=${LIMIT}${scope === "all" ? "&all_tenants=1" : ""}`, many: "servers",
    item: (id) => `/compute/v2.1/servers/${id}`, one: "server", id: (x) => x.id, name: (x) => x.name, owner: (x) => x.tenant_id,
  },
  image: {
    list: () => `/image/v2/images?limit=${LIMIT}`, many: "images", item: (id) => `/image/v2/images/${id}`,
    id: (x) => x.id, name: (x) => x.name || x.id, owner: (x) => x.owner, open: (x) => x.visibility !== "private",
  },
  network: net("network", "networks", (x) => x.shared || x["router:external"]),
  subnet: net("subnet", "subnets", () => true),
  router: net("router", "routers"),
  port: net("port", "ports"),
  floatingip: {
    list: () => "/network/v2.0/floatingips", many: "floatingips", item: (id) => `/network/v2.0/floatingips/${id}`, one: "floatingip",
    id: (x) => x.id, name: (x) => x.floating_ip_address, owner: (x) => x.project_id,
  },
  security_group: {
    list: () => "/network/v2.0/security-groups", many: "security_groups", item: (id) => `/network/v2.0/security-groups/${id}`,
    one: "security_group", id: (x) => x.id, name: (x) => x.name, owner: (x) => x.project_id,
  },
  keypair: {
    list: () => "/compute/v2.1/os-keypairs", many: "keypairs", id: (x) => x.name, name: (x) => x.name,
    unwrap: (raw: { keypair: T.Keypair }) => raw.keypair,
  },
  flavor: {
    list: (scope) => `/compute/v2.1/flavors/detail${scope === "all" ? "?is_public=None" : ""}`, many: "flavors",
    item: (id) => `/compute/v2.1/flavors/${id}`, one: "flavor", id: (x) => x.id, name: (x) => x.name,
  },
  host: {
    list: () => "/compute/v2.1/os-hypervisors/detail?with_servers=true", many: "hypervisors",
    item: (id) => `/compute/v2.1/os-hypervisors/${id}?with_servers=true`, one: "hypervisor",
    id: (x) => x.id, name: (x) => x.hypervisor_hostname, headers: { "openstack-api-version": "compute 2.87" },
  },
  work: { list: (scope) => `/hanok/v1/work?limit=${LIMIT}${scope === "all" ? "&all=true" : ""}`, many: "work", id: (x) => x.id, name: (x) => x.name ?? x.id },
  machine: {
    list: () => "/hanok/v1/machines", many: "machines", item: (id) => `/hanok/v1/machines/${id}`, one: "machine",
    id: (x) => x.id, name: (x) => x.name,
  },
  project: { list: () => "/identity/v3/projects", many: "projects", id: (x) => x.id, name: (x) => x.name },
  user: { list: () => "/identity/v3/users", many: "users", id: (x) => x.id, name: (x) => x.name },
};

interface Page { next?: string; links?: { next?: string | null }; [key: string]: unknown }

/** The whole list, page by page where the service gives pages. */
export async function fetchList<K extends Kind>(kind: K, scope: Scope, project: string | null, signal?: AbortSignal): Promise<Kinds[K][]> {
  const def: KindDef<K> = kinds[kind];
  const all: Kinds[K][] = [];
  for (let path: string | undefined = def.list(scope); path; ) {
    const page: Page = await ask<Page>(path, { signal, headers: def.headers });
    const raw = (Array.isArray(page) ? page : (page[def.many] ?? [])) as never[];
    all.push(...(def.unwrap ? raw.map(def.unwrap) : (raw as Kinds[K][])));
    path = nextPage(page, def.many);
  }
  return scope === "mine" ? all.filter((x) => belongs(def, x, project)) : all;
}

function nextPage(page: Page, many: string): string | undefined {
  const links = page[`${many}_links`] as { rel: string; href: string }[] | undefined;
  const href = links?.find((link) => link.rel === "next")?.href ?? page.links?.next;
  if (href) {
    const url = new URL(href, location.origin);
    return url.pathname + url.search;
  }
  return page.next ? `/image${page.next}` : undefined;
}

/** An administrator's token sees everybody's; a project's pages show its own and what is open to all. */
export function belongs<K extends Kind>(def: KindDef<K>, x: Kinds[K], project: string | null): boolean {
  return !def.owner || !project || def.owner(x) === project || (def.open?.(x) ?? false);
}

export async function fetchItem<K extends Kind>(kind: K, id: string, signal?: AbortSignal): Promise<Kinds[K]> {
  const def: KindDef<K> = kinds[kind];
  if (!def.item) throw new Error(`${kind} has no address of its own`);
  const raw = await ask<Record<string, unknown>>(def.item(encodeURIComponent(id)), { signal, headers: def.headers });
  return (def.one && def.one in raw ? raw[def.one] : raw) as Kinds[K];
}
