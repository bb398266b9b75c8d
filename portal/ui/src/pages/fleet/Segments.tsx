import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk } from "~/api/query";
import { t } from "~/i18n";
import { told, type Says } from "~/i18n/said";
import { number, when } from "~/i18n/format";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { Confirm } from "~/ui/Confirm";
import { Dialog, FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { Section, Waiting } from "~/ui/Page";
import { goodCidr } from "../network/cidr";

interface Range { id: string; kind: "dynamic" | "reserved"; first: string; last: string; comment: string }
interface Subnet { id: string; cidr: string; address: string; gateway: string | null; ranges: Range[] }
interface Segment extends Says { id: string; name: string; rack: string | null; interface: string; dhcp: "serve" | "proxy" | "off"; free: number; foreign_dhcp: string[]; reason: string | null; subnets: Subnet[] }
interface Rack { id: string; name: string; interfaces?: { name: string }[] }

const fresh = () => Promise.all([queries.invalidateQueries({ queryKey: ["segments"] }), queries.invalidateQueries({ queryKey: ["racks"] })]);
const dhcpWord = (mode: string) => t(`segments.dhcp.${mode as Segment["dhcp"]}`);

/** Networks on which machines start: which rack answers there, and what addresses it has to give. */
export function Segments({ racks }: { racks: Rack[] }) {
  const { data, error, refetch } = useAsk<{ segments: Segment[] }>(["segments"], "/hanok/v1/segments");
  const [asked, setAsked] = useState<{ what: "new" | "change" | "subnet" | "leases" | "delete"; of?: Segment } | null>(null);
  const [ranges, setRanges] = useState<{ segment: Segment; subnet: Subnet } | null>(null);
  const close = () => setAsked(null);
  const add = <Button small={Boolean(data?.segments.length)} look={data?.segments.length ? "plain" : "solid"} onPress={() => setAsked({ what: "new" })}><Icon name="plus" size={14} />{t("segments.create")}</Button>;
  return (
    <Section title={t("racks.segments")} actions={data?.segments.length ? add : null}>
      {error && <ErrorNote error={error} retry={refetch} />}
      {!data && !error && <Waiting />}
      {data?.segments.length === 0 && <div className="box"><Empty title={t("racks.noSegments")} action={add}>{t("segments.noneNote")}</Empty></div>}
      <ul className="grid gap-3">
        {data?.segments.map((s) => (
          <li key={s.id} className="box px-5 py-4">
            <div className="flex items-start gap-4">
              <div className="min-w-0 flex-1">
                <h3 className="flex flex-wrap items-baseline gap-x-3"><b className="font-semibold text-[15px]">{s.name}</b><span className="label">{s.rack ? `${s.rack} · ${s.interface || "–"}` : t("segments.noRack")}</span></h3>
                <p className="text-[13px] text-ink2">DHCP: {dhcpWord(s.dhcp)}</p>
              </div>
              <Menu label={s.name} acts={[
                { id: "leases", label: t("segments.leases"), icon: "machine", run: () => setAsked({ what: "leases", of: s }) },
                { id: "change", label: t("segments.change"), icon: "settings", run: () => setAsked({ what: "change", of: s }) },
                { id: "subnet", label: t("segments.addSubnet"), icon: "plus", run: () => setAsked({ what: "subnet", of: s }) },
                { id: "delete", label: t("do.delete"), icon: "trash", danger: true, run: () => setAsked({ what: "delete", of: s }) },
              ]} />
            </div>
            {s.reason && <p className="mt-2 rounded-[7px] bg-hwang-soft text-hwang px-3 py-1.5 text-[13px]">{told(s, "reason")}</p>}
            {s.foreign_dhcp.length > 0 && <p className="mt-2 rounded-[7px] bg-seokganju-soft text-seokganju px-3 py-1.5 text-[13px]">{t("segments.foreign", { who: s.foreign_dhcp.join(", ") })}</p>}
            {s.subnets.map((n) => (
              <div key={n.id} className="mt-3 pt-3 border-t border-line flex flex-wrap items-start justify-between gap-x-6 gap-y-2">
                <div className="min-w-0">
                  <p className="font-mono text-[13px]"><b className="font-semibold">{n.cidr}</b> <span className="text-ink2">{t("segments.rackAt", { address: n.address })}{n.gateway && ` · ${t("physical.gateway")} ${n.gateway}`}</span></p>
                  <ul className="mt-1 flex flex-col gap-0.5">
                    {n.ranges.map((r) => <li key={r.id} className="text-[13px]"><span className="font-mono">{r.first} – {r.last}</span> <span className="text-ink2">{t(`segments.kind.${r.kind}`)}{r.comment && ` · ${r.comment}`}</span></li>)}
                    {n.ranges.length === 0 && <li className="text-[13px] text-hwang">{t("segments.noRanges")}</li>}
                  </ul>
                </div>
                <Button small onPress={() => setRanges({ segment: s, subnet: n })}>{t("segments.ranges")}</Button>
              </div>
            ))}
            {s.dhcp === "serve" && s.rack && s.subnets.some((n) => n.ranges.some((r) => r.kind === "dynamic")) && <p className="label mt-3">{t("segments.free", { n: s.free })}</p>}
          </li>
        ))}
      </ul>
      {asked?.what === "new" && <Change racks={racks} onClose={close} />}
      {asked?.what === "change" && <Change racks={racks} of={asked.of} onClose={close} />}
      {asked?.what === "subnet" && asked.of && <AddSubnet of={asked.of} onClose={close} />}
      {asked?.what === "leases" && asked.of && <Leases of={asked.of} onClose={close} />}
      {asked?.what === "delete" && asked.of && (
        <Confirm onClose={close} of={{
          title: t("segments.deleteAsk", { name: asked.of.name }), note: t("segments.deleteNote"), names: asked.of.subnets.map((n) => n.cidr),
          run: () => ask(`/hanok/v1/segments/${asked.of!.id}`, { method: "DELETE" }).then(fresh),
        }} />
      )}
      {ranges && <Ranges {...ranges} onClose={() => setRanges(null)} />}
    </Section>
  );
}

function Change({ racks, of, onClose }: { racks: Rack[]; of?: Segment; onClose: () => void }) {
  const [name, setName] = useState(of?.name ?? "");
  const [rack, setRack] = useState<string | null>(of?.rack ?? (racks.length === 1 ? racks[0]!.name : null));
  const [card, setCard] = useState(of?.interface ?? "");
  const [dhcp, setDhcp] = useState<Segment["dhcp"]>(of?.dhcp ?? "serve");
  const segment = { name: name.trim(), interface: card.trim(), dhcp, ...(rack ? { rack } : {}) };
  return (
    <FormDialog title={of ? t("segments.change") : t("segments.create")} open onClose={onClose} action={of ? t("do.save") : t("segments.create")} ready={name.trim() !== ""}
      run={() => ask(of ? `/hanok/v1/segments/${of.id}` : "/hanok/v1/segments", { method: of ? "PATCH" : "POST", body: { segment } }).then(fresh)}>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus placeholder="metal" />
      {racks.length > 0 && <Choice label={t("racks.one")} value={rack} onChange={setRack} placeholder={t("do.choose")} options={racks.map((r) => ({ id: r.name, label: r.name }))} />}
      <Field label={t("segments.interface")} value={card} onChange={setCard} mono placeholder="eth1" note={t("segments.interfaceNote")} />
      <Choice label="DHCP" value={dhcp} onChange={(id) => setDhcp(id as Segment["dhcp"])} options={["serve", "proxy", "off"].map((id) => ({ id, label: dhcpWord(id) }))} />
    </FormDialog>
  );
}

function AddSubnet({ of, onClose }: { of: Segment; onClose: () => void }) {
  const [cidr, setCidr] = useState("");
  const [address, setAddress] = useState("");
  const [gateway, setGateway] = useState("");
  const [first, setFirst] = useState("");
  const [last, setLast] = useState("");
  const bad = cidr.trim() !== "" && !goodCidr(cidr.trim());
  const range = first.trim() && last.trim() ? { ranges: [{ first: first.trim(), last: last.trim() }] } : {};
  const subnet = { cidr: cidr.trim(), address: address.trim(), ...(gateway.trim() ? { gateway: gateway.trim() } : {}), ...range };
  return (
    <FormDialog title={t("segments.addSubnetTo", { name: of.name })} open onClose={onClose} action={t("do.add")} ready={!bad && cidr.trim() !== "" && address.trim() !== ""} wide
      run={() => ask(`/hanok/v1/segments/${of.id}/subnets`, { method: "POST", body: { subnet } }).then(fresh)}>
      <div className="grid sm:grid-cols-2 gap-4">
        <Field label={t("physical.cidr")} value={cidr} onChange={setCidr} mono autoFocus placeholder="10.77.0.0/24" error={bad ? t("networks.badCidr") : null} />
        <Field label={t("segments.address")} value={address} onChange={setAddress} mono placeholder="10.77.0.1" />
        <Field label={t("segments.first")} value={first} onChange={setFirst} mono placeholder="10.77.0.100" />
        <Field label={t("segments.last")} value={last} onChange={setLast} mono placeholder="10.77.0.200" />
        <Field label={t("physical.gateway")} value={gateway} onChange={setGateway} mono placeholder="10.77.0.1" note={t("segments.gatewayNote")} />
      </div>
    </FormDialog>
  );
}

/** All ranges of a subnet at once: a line each. */
function Ranges({ segment, subnet, onClose }: { segment: Segment; subnet: Subnet; onClose: () => void }) {
  const [rows, setRows] = useState(subnet.ranges.map((r) => ({ kind: r.kind as string, first: r.first, last: r.last, comment: r.comment })));
  const set = (at: number, part: object) => setRows(rows.map((r, i) => (i === at ? { ...r, ...part } : r)));
  const ready = rows.every((r) => r.first.trim() !== "" && r.last.trim() !== "");
  return (
    <FormDialog title={t("segments.rangesOf", { name: subnet.cidr })} open onClose={onClose} action={t("do.save")} ready={ready} wide
      run={() => ask(`/hanok/v1/segments/${segment.id}/subnets/${subnet.id}`, { method: "PATCH", body: { subnet: { ranges: rows.map((r) => ({ ...r, first: r.first.trim(), last: r.last.trim() })) } } }).then(fresh)}>
      <p className="text-ink2">{t("segments.rangesNote")}</p>
      <ul className="flex flex-col gap-3">
        {rows.map((r, i) => (
          <li key={i} className="grid grid-cols-2 sm:grid-cols-[1fr_1fr_150px_auto] gap-2 items-end">
            <Field label={t("segments.first")} value={r.first} onChange={(first) => set(i, { first })} mono />
            <Field label={t("segments.last")} value={r.last} onChange={(last) => set(i, { last })} mono />
            <Choice label={t("word.kind")} value={r.kind} onChange={(kind) => set(i, { kind })} options={(["dynamic", "reserved"] as const).map((id) => ({ id, label: t(`segments.kind.${id}`) }))} />
            <Button aria-label={`${t("do.delete")}: ${r.first}`} look="quiet" onPress={() => setRows(rows.filter((_, n) => n !== i))}><Icon name="trash" size={14} /></Button>
          </li>
        ))}
      </ul>
      <div><Button small onPress={() => setRows([...rows, { kind: "dynamic", first: "", last: "", comment: "" }])}><Icon name="plus" size={14} />{t("segments.addRange")}</Button></div>
    </FormDialog>
  );
}

function Leases({ of, onClose }: { of: Segment; onClose: () => void }) {
  const { data, error } = useAsk<{ leases: { mac: string; address: string; hostname: string; expires_at: string }[] }>(["segments", of.id, "leases"], `/hanok/v1/segments/${of.id}/leases`);
  return (
    <Dialog title={t("segments.leasesOf", { name: of.name })} open onClose={onClose} wide>
      {error && <ErrorNote error={error} />}
      {!data && !error && <Waiting />}
      {data?.leases.length === 0 && <p className="text-ink2">{t("segments.noLeases")}</p>}
      {data && data.leases.length > 0 && <p className="label mb-2">{number(data.leases.length)} · {t("segments.free", { n: of.free })}</p>}
      <ul>{data?.leases.map((l) => (
        <li key={`${l.mac}${l.address}`} className="flex flex-wrap justify-between gap-x-4 py-1.5 border-b border-line last:border-0">
          <span className="font-mono text-[13px]">{l.address}</span><span className="font-mono text-[12.5px] text-ink2">{l.mac}</span><span className="text-ink2">{l.hostname || "–"}</span><span className="label">{t("segments.until", { when: when(l.expires_at) })}</span>
        </li>
      ))}</ul>
      <div className="flex justify-end mt-4"><Button onPress={onClose}>{t("do.close")}</Button></div>
    </Dialog>
  );
}
