// The event stream: says what changed, and only that is fetched again. Many changes at once become one list.
import { useSyncExternalStore } from "react";
import { ApiError } from "./http";
import { belongs, fetchItem, kinds, type Kind, type KindDef, type Kinds, type Scope } from "./kinds";
import { queries } from "./query";
import { project } from "./scope";
import { connect, type Link } from "./stream";

export interface Change { kind: string; id: string; project_id?: string | null; what: "created" | "updated" | "deleted" }

/** Changes that come together are handled together; well under what an eye notices. */
const GATHER_MS = 40;
/** More than this at once and the whole list is cheaper. */
const MANY = 20;

let link: Link = "opening";
const listeners = new Set<() => void>();
function setLink(next: Link) {
  if (next === link) return;
  link = next;
  listeners.forEach((tell) => tell());
}
export function useLink(): Link {
  return useSyncExternalStore((tell) => (listeners.add(tell), () => listeners.delete(tell)), () => link);
}

let waiting: Change[] = [];
let timer = 0;

function gather(change: Change) {
  waiting.push(change);
  timer ||= window.setTimeout(() => {
    const batch = waiting;
    waiting = [];
    timer = 0;
    settle(batch);
  }, GATHER_MS);
}

/** What else a change of this kind makes stale. */
const ALONG: Record<string, unknown[][]> = {
  server: [["limits"], ["capacity"], ["list", "work"], ["list", "host"], ["item", "host"], ["host"]],
  port: [["netquota"]], floatingip: [["netquota"]], router: [["netquota"]], security_group: [["netquota"]],
  subnet: [["netquota"], ["list", "network"]], security_group_rule: [["list", "security_group"]],
  image: [["imagequota"]], host: [["capacity"], ["physical"], ["doctor"], ["places"]], aggregate: [["aggregates"], ["capacity"]], network: [["netquota"], ["physical"]], machine: [["list", "work"]], rack: [["racks"], ["segments"]], segment: [["segments"], ["racks"]], fleet: [["list", "host"], ["item", "host"], ["capacity"]], event: [["happened"]],
  quota: [["limits"], ["quota"]], limit: [["limits"]], role: [["team"]], application_credential: [["credentials"]],
};

/** What was done to these is in the project's activity. */
const OF_PROJECTS = ["server", "image", "network", "subnet", "router", "floatingip", "security_group", "security_group_rule", "keypair"];

export function settle(batch: Change[]) {
  const byKind = new Map<string, Change[]>();
  for (const change of batch) byKind.set(change.kind, [...(byKind.get(change.kind) ?? []), change]);
  if (OF_PROJECTS.some((kind) => byKind.has(kind))) void queries.invalidateQueries({ queryKey: ["activity"] });
  for (const [kind, changes] of byKind) {
    for (const key of ALONG[kind] ?? []) void queries.invalidateQueries({ queryKey: key });
    const last = new Map(changes.map((change) => [change.id, change]));
    for (const id of last.keys()) void queries.invalidateQueries({ queryKey: [kind, id] });
    if (!(kind in kinds)) continue;
    if (last.size > MANY || !kinds[kind as Kind].item) {
      void queries.invalidateQueries({ queryKey: ["list", kind] });
      void queries.invalidateQueries({ queryKey: ["item", kind] });
    } else {
      for (const change of last.values()) void one(kind as Kind, change);
    }
  }
}

async function one<K extends Kind>(kind: K, change: Change) {
  const watched = queries.getQueryCache().findAll({ queryKey: ["list", kind] }).length
    + queries.getQueryCache().findAll({ queryKey: ["item", kind, change.id] }).length;
  if (watched === 0) return;
  if (change.what === "deleted") return put(kind, change.id, null);
  try {
    put(kind, change.id, await fetchItem(kind, change.id));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) put(kind, change.id, null);
    else void queries.invalidateQueries({ queryKey: ["list", kind] });
  }
}

/** Puts one thing into every list that holds its kind, or takes it out. */
export function put<K extends Kind>(kind: K, id: string, item: Kinds[K] | null) {
  const def: KindDef<K> = kinds[kind];
  if (item) queries.setQueryData(["item", kind, id], item);
  else void queries.invalidateQueries({ queryKey: ["item", kind, id] });
  for (const [key, list] of queries.getQueriesData<Kinds[K][]>({ queryKey: ["list", kind] })) {
    if (!list) continue;
    const at = list.findIndex((x) => def.id(x) === id);
    const here = item && ((key[2] as Scope) === "all" || belongs(def, item, project()));
    const next = here ? (at < 0 ? [...list, item] : list.with(at, item)) : at < 0 ? list : list.toSpliced(at, 1);
    queries.setQueryData(key, next);
  }
}

/** Listens until told to stop. */
export function listen(session: string): () => void {
  const stop = connect(session, {
    link: setLink,
    change: (data) => {
      const change = parse(data);
      if (change) gather(change);
    },
    lost: () => void queries.invalidateQueries(),
  });
  return () => {
    stop();
    setLink("opening");
  };
}

function parse(text: string): Change | null {
  try {
    return JSON.parse(text) as Change;
  } catch {
    return null;
  }
}
