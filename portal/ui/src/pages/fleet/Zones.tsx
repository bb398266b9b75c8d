import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk } from "~/api/query";
import { t } from "~/i18n";
import { mib, number } from "~/i18n/format";
import { Button, buttonLook } from "~/ui/Button";
import { Checkbox } from "~/ui/Choice";
import { Confirm } from "~/ui/Confirm";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { Field } from "~/ui/Field";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { Meter, Page, Section, Waiting } from "~/ui/Page";
import { Dot } from "~/ui/Status";

interface Places { zones: { name: string; pods: { name: string; hosts: { id: string }[] }[] }[] }
interface Room { total: number; used: number; free: number }
interface HostRoom { id: string; name: string; zone: string; enabled: boolean; up: boolean; servers: number; vcpus: Room; memory_mib: Room; disk_gib: Room }
interface Aggregate { id: number; name: string; availability_zone: string | null; hosts: string[]; metadata: Record<string, string> }

const fresh = () => Promise.all([queries.invalidateQueries({ queryKey: ["aggregates"] }), queries.invalidateQueries({ queryKey: ["capacity"] }), queries.invalidateQueries({ queryKey: ["places"] })]);
const act = (a: Aggregate, body: unknown) => ask(`/compute/v2.1/os-aggregates/${a.id}/action`, { method: "POST", body });

/** Where servers can be put: zones that fail apart, and groups of hosts that have something in common. */
export function Zones() {
  const rooms = useAsk<{ hosts: HostRoom[] }>(["capacity"], "/hanok/v1/capacity");
  const places = useAsk<Places>(["places"], "/hanok/v1/places");
  const groups = useAsk<{ aggregates: Aggregate[] }>(["aggregates"], "/compute/v2.1/os-aggregates");
  const [open, setOpen] = useOpen("new");
  const [asked, setAsked] = useState<{ what: "hosts" | "words" | "delete"; of: Aggregate } | null>(null);
  const [moving, setMoving] = useState<HostRoom | null>(null);
  const add = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("zones.create")}</Button>;
  const page = (body: React.ReactNode) => <Page title={t("zones.title")} lead={t("zones.lead")} actions={groups.data?.aggregates.length === 0 ? null : add}>{body}</Page>;
  const error = rooms.error ?? groups.error;
  if (error) return page(<ErrorNote error={error} retry={() => void fresh()} />);
  if (!rooms.data || !groups.data) return page(<Waiting />);
  const zones = [...Map.groupBy(rooms.data.hosts, (h) => h.zone)].sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true }));
  const names = zones.map(([zone]) => zone);
  const pods = new Map(places.data?.zones.flatMap((z) => z.pods.flatMap((p) => p.hosts.map((h) => [h.id, p.name] as const))));
  return page(
    <div className="grid gap-10">
      <Section title={t("zones.zones")}>
        {zones.length === 0 && <div className="box"><Empty title={t("hosts.empty")}>{t("zones.emptyNote")}</Empty></div>}
        <div className="grid md:grid-cols-2 gap-3">{zones.map(([zone, hosts]) => <ZoneCard key={zone} zone={zone} hosts={hosts} pods={pods} onMove={setMoving} />)}</div>
      </Section>
      <Section title={t("zones.groups")}>
        {groups.data.aggregates.length === 0 && <div className="box"><Empty title={t("zones.noGroups")} action={add}>{t("zones.noGroupsNote")}</Empty></div>}
        <ul className="grid gap-3">
          {groups.data.aggregates.map((a) => (
            <li key={a.id} className="box px-5 py-3.5 flex items-start gap-4">
              <div className="min-w-0 flex-1">
                <p className="flex flex-wrap items-baseline gap-x-3"><b className="font-semibold">{a.name}</b>{a.availability_zone && <span className="label">{t("zones.isZone", { name: a.availability_zone })}</span>}</p>
                <p className="text-ink2 [overflow-wrap:anywhere]">{a.hosts.join(", ") || t("zones.noHosts")}</p>
                {Object.entries(a.metadata).filter(([k]) => k !== "availability_zone").length > 0 && (
                  <p className="font-mono text-[12.5px] text-ink2">{Object.entries(a.metadata).filter(([k]) => k !== "availability_zone").map(([k, v]) => `${k}=${v}`).join("  ")}</p>
                )}
              </div>
              <Menu label={a.name} acts={[
                { id: "hosts", label: t("zones.hosts"), icon: "host", run: () => setAsked({ what: "hosts", of: a }) },
                { id: "words", label: t("zones.words"), icon: "settings", run: () => setAsked({ what: "words", of: a }) },
                { id: "delete", label: t("do.delete"), icon: "trash", danger: true, run: () => setAsked({ what: "delete", of: a }) },
              ]} />
            </li>
          ))}
        </ul>
      </Section>
      {open && <CreateGroup onClose={() => setOpen(false)} />}
      {moving && <MoveHost host={moving} zones={names} pod={pods.get(moving.id) ?? ""} pods={[...new Set(pods.values())].filter(Boolean).sort()} onClose={() => setMoving(null)} />}
      {asked?.what === "hosts" && <HostsOf of={asked.of} hosts={rooms.data.hosts} onClose={() => setAsked(null)} />}
      {asked?.what === "words" && <WordsOf of={asked.of} onClose={() => setAsked(null)} />}
      {asked?.what === "delete" && (
        <Confirm onClose={() => setAsked(null)} of={{
          title: t("zones.deleteAsk", { name: asked.of.name }), note: t("zones.deleteNote"), names: asked.of.hosts,
          run: async () => {
            for (const host of asked.of.hosts) await act(asked.of, { remove_host: { host } });
            await ask(`/compute/v2.1/os-aggregates/${asked.of.id}`, { method: "DELETE" });
            await fresh();
          },
        }} />
      )}
    </div>,
  );
}

function ZoneCard({ zone, hosts, pods, onMove }: { zone: string; hosts: HostRoom[]; pods: Map<string, string>; onMove: (h: HostRoom) => void }) {
  // Pods first, by name; hosts that are in none follow.
  const parts = [...Map.groupBy(hosts, (h) => pods.get(h.id) ?? "")].sort(([a], [b]) => Number(a === "") - Number(b === "") || a.localeCompare(b, undefined, { numeric: true }));
  const sum = (of: (h: HostRoom) => Room) => hosts.reduce((all, h) => ({ used: all.used + of(h).used, total: all.total + of(h).total }), { used: 0, total: 0 });
  const [cores, ram] = [sum((h) => h.vcpus), sum((h) => h.memory_mib)];
  const well = hosts.filter((h) => h.up).length;
  return (
    <section aria-label={zone} className="box p-5 flex flex-col gap-3.5 min-w-0">
      <h3 className="flex items-center gap-2.5"><Dot tone={well === hosts.length ? "good" : well === 0 ? "bad" : "warn"} /><b className="font-semibold text-[15px]">{zone}</b><span className="label">{t("zones.count", { n: hosts.length })} · {t("fleet.serversOn", { n: hosts.reduce((n, h) => n + h.servers, 0) })}</span></h3>
      <Meter label={t("zones.cores")} used={cores.used} total={cores.total} show={number} />
      <Meter label={t("word.memory")} used={ram.used} total={ram.total} show={mib} />
      {parts.map(([pod, inside]) => (
        <div key={pod} role="group" aria-label={pod ? t("zones.pod", { name: pod }) : t("zones.noPod")}>
          {(pod !== "" || parts.length > 1) && <p className="label mb-1">{pod ? t("zones.pod", { name: pod }) : t("zones.noPod")}</p>}
          <ul className="flex flex-wrap gap-1.5">
            {inside.slice(0, 24).map((h) => <li key={h.id}><button type="button" onClick={() => onMove(h)} title={t("zones.moveAsk", { name: h.name })} className={`${buttonLook("plain", true)} ${h.up ? "" : "text-seokganju"}`}>{h.name}</button></li>)}
            {inside.length > 24 && <li className="label self-center">+{number(inside.length - 24)}</li>}
          </ul>
        </div>
      ))}
    </section>
  );
}

function CreateGroup({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [zone, setZone] = useState(true);
  return (
    <FormDialog title={t("zones.create")} open onClose={onClose} action={t("zones.create")} ready={name.trim() !== ""}
      run={() => ask("/compute/v2.1/os-aggregates", { method: "POST", body: { aggregate: { name: name.trim(), ...(zone ? { availability_zone: name.trim() } : {}) } } }).then(fresh)}>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus placeholder="rack-a" />
      <Checkbox checked={zone} onChange={setZone}>{t("zones.asZone")}</Checkbox>
      <p className="label">{t("zones.asZoneNote")}</p>
    </FormDialog>
  );
}

/** A pod is part of a zone: hosts that are near to each other, such as those of one rack. Servers ask for it by hints. */
function MoveHost({ host, zones, pod, pods, onClose }: { host: HostRoom; zones: string[]; pod: string; pods: string[]; onClose: () => void }) {
  const [zone, setZone] = useState(host.zone);
  const [place, setPlace] = useState(pod);
  const change = { ...(zone.trim() === host.zone ? {} : { zone: zone.trim() }), ...(place.trim() === pod ? {} : { pod: place.trim() }) };
  return (
    <FormDialog title={t("zones.moveAsk", { name: host.name })} open onClose={onClose} action={t("do.save")} ready={zone.trim() !== "" && Object.keys(change).length > 0}
      run={() => ask(`/hanok/v1/hosts/${encodeURIComponent(host.name)}`, { method: "PATCH", body: { host: change } }).then(fresh)}>
      <Field label={t("word.zone")} value={zone} onChange={setZone} autoFocus note={t("zones.moveNote", { zones: zones.join(", ") })} />
      <Field label={t("zones.podWord")} value={place} onChange={setPlace} placeholder="rack-1" note={`${t("zones.podNote")}${pods.length ? ` ${t("zones.podsNow", { pods: pods.join(", ") })}` : ""}`} />
    </FormDialog>
  );
}

function HostsOf({ of, hosts, onClose }: { of: Aggregate; hosts: HostRoom[]; onClose: () => void }) {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(of.hosts));
  const toggle = (name: string, on: boolean) => setChosen((was) => new Set(on ? [...was, name] : [...was].filter((x) => x !== name)));
  const run = async () => {
    for (const host of of.hosts.filter((h) => !chosen.has(h))) await act(of, { remove_host: { host } });
    for (const host of [...chosen].filter((h) => !of.hosts.includes(h))) await act(of, { add_host: { host } });
    await fresh();
  };
  return (
    <FormDialog title={t("zones.hostsOf", { name: of.name })} open onClose={onClose} action={t("do.save")} run={() => run().catch((error) => fresh().then(() => Promise.reject(error)))}>
      <ul className="flex flex-col gap-2 max-h-72 overflow-auto px-1">{hosts.map((h) => <li key={h.id}><Checkbox checked={chosen.has(h.name)} onChange={(on) => toggle(h.name, on)}>{h.name}<span className="label">{h.zone}</span></Checkbox></li>)}</ul>
    </FormDialog>
  );
}

/** key=value, a line each: flavors ask for them. */
function WordsOf({ of, onClose }: { of: Aggregate; onClose: () => void }) {
  const old = Object.entries(of.metadata).filter(([k]) => k !== "availability_zone");
  const [text, setText] = useState(old.map(([k, v]) => `${k}=${v}`).join("\n"));
  const zone = of.availability_zone ?? "";
  const [zoned, setZoned] = useState(zone);
  const run = async () => {
    const pairs = Object.fromEntries(text.split("\n").filter((l) => l.includes("=")).map((l) => [l.slice(0, l.indexOf("=")).trim(), l.slice(l.indexOf("=") + 1).trim()]));
    const gone = Object.fromEntries(old.filter(([k]) => !(k in pairs)).map(([k]) => [k, null]));
    if (Object.keys({ ...pairs, ...gone }).length) await act(of, { set_metadata: { metadata: { ...gone, ...pairs } } });
    if (zoned.trim() !== zone) await ask(`/compute/v2.1/os-aggregates/${of.id}`, { method: "PUT", body: { aggregate: { availability_zone: zoned.trim() || null } } });
    await fresh();
  };
  return (
    <FormDialog title={t("zones.wordsOf", { name: of.name })} open onClose={onClose} action={t("do.save")} run={run}>
      <Field label={t("zones.zoneName")} value={zoned} onChange={setZoned} note={t("zones.zoneNameNote")} />
      <Field label={t("zones.words")} value={text} onChange={setText} rows={4} mono placeholder="ssd=true" note={t("zones.wordsNote")} />
    </FormDialog>
  );
}
