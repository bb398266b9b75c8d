import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk, useList } from "~/api/query";
import { t } from "~/i18n";
import { number } from "~/i18n/format";
import { Button } from "~/ui/Button";
import { Checkbox, Choice } from "~/ui/Choice";
import { CodeBlock } from "~/ui/Copy";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";
import { Page, Waiting } from "~/ui/Page";
import { goodCidr } from "../network/cidr";

interface Wire { name: string; hosts: { id: string; name: string; device: string; vlans?: boolean }[]; networks: { id: string; name: string; external: boolean; mtu: number; segment?: number | null }[] }

/** Networks of wires: which hosts are on them by which NIC, and which networks of the cloud lie on them. */
export function Physical() {
  const { data, error, refetch } = useAsk<{ physical_networks: Wire[] }>(["physical"], "/hanok/v1/physical-networks");
  const hosts = useList("host").data?.length ?? 0;
  const [making, setMaking] = useState<Wire | null>(null);
  const page = (body: React.ReactNode) => <Page title={t("physical.title")} lead={t("physical.lead")}>{body}</Page>;
  if (error) return page(<ErrorNote error={error} retry={refetch} />);
  if (!data) return page(<Waiting />);
  if (data.physical_networks.length === 0) {
    return page(<div className="box"><Empty title={t("physical.empty")} action={<div className="text-left w-[min(84vw,380px)]"><CodeBlock label={t("physical.empty")} text={'[physical_networks]\noffice = "eth1"'} /></div>}>{t("physical.emptyNote")}</Empty></div>);
  }
  return page(
    <>
      <ul className="grid gap-4">
        {data.physical_networks.map((w) => (
          <li key={w.name} className="box px-5 py-4">
            <div className="flex flex-wrap items-center justify-between gap-3 mb-3">
              <h2 className="flex items-baseline gap-3"><b className="font-semibold text-[16px]">{w.name}</b><span className={w.hosts.length === 0 ? "text-seokganju text-[13px]" : "label"}>{t("physical.on", { n: w.hosts.length, all: hosts })}</span></h2>
              <Button small onPress={() => setMaking(w)}><Icon name="plus" size={14} />{t("physical.make")}</Button>
            </div>
            <div className="grid md:grid-cols-2 gap-x-10 gap-y-4">
              <div><p className="label mb-1">{t("hosts.title")}</p>
                <ul className="flex flex-wrap gap-x-5 gap-y-1">{w.hosts.slice(0, 60).map((h) => <li key={h.id}><Link to="/fleet/hosts/$id" params={{ id: h.id } as never} className="link">{h.name}</Link> <span className="font-mono text-[12.5px] text-ink2">{h.device}</span></li>)}
                  {w.hosts.length > 60 && <li className="label">+{number(w.hosts.length - 60)}</li>}</ul>
                {w.hosts.length === 0 && <p className="text-ink2">{t("physical.nobody")}</p>}
              </div>
              <div><p className="label mb-1">{t("networks.title")}</p>
                <ul className="flex flex-col gap-1">{w.networks.map((n) => <li key={n.id}><Link to="/networks/$id" params={{ id: n.id } as never} className="link">{n.name || n.id}</Link> <span className="label">{[n.segment ? `VLAN ${n.segment}` : t("physical.flat"), n.external && t("physical.external"), `MTU ${number(n.mtu)}`].filter(Boolean).join(" · ")}</span></li>)}</ul>
                {w.networks.length === 0 && <p className="text-ink2">{t("physical.noNetworks")}</p>}
              </div>
            </div>
          </li>
        ))}
      </ul>
      <p className="label mt-4 max-w-[80ch]">{t("physical.vlanNote")}</p>
      {making && <Make wire={making} onClose={() => setMaking(null)} />}
    </>,
  );
}

function Make({ wire, onClose }: { wire: Wire; onClose: () => void }) {
  const [name, setName] = useState(wire.name);
  const [cidr, setCidr] = useState("");
  const [gateway, setGateway] = useState("");
  const [first, setFirst] = useState("");
  const [last, setLast] = useState("");
  const [external, setExternal] = useState(true);
  const [shared, setShared] = useState(false);
  const [dhcp, setDhcp] = useState(false);
  const flatTaken = wire.networks.some((n) => !n.segment);
  const [kind, setKind] = useState<"flat" | "vlan">(flatTaken ? "vlan" : "flat");
  const [segment, setSegment] = useState("");
  const plain = wire.hosts.filter((h) => h.vlans === false).map((h) => h.name);
  const used = wire.networks.find((n) => String(n.segment) === segment.trim());
  const badSegment = segment.trim() === "" ? null : !/^\d+$/.test(segment.trim()) || Number(segment) < 1 || Number(segment) > 4094 ? t("physical.badSegment") : used ? t("physical.usedSegment", { name: used.name }) : null;
  const bad = cidr.trim() !== "" && !goodCidr(cidr.trim());
  const run = async () => {
    const network = { name: name.trim(), "provider:network_type": kind, "provider:physical_network": wire.name, ...(kind === "vlan" ? { "provider:segmentation_id": Number(segment) } : {}), "router:external": external, shared };
    const made = await ask<{ network: { id: string } }>("/network/v2.0/networks", { method: "POST", body: { network } });
    try {
      const pool = first.trim() && last.trim() ? { allocation_pools: [{ start: first.trim(), end: last.trim() }] } : {};
      const subnet = { network_id: made.network.id, name: name.trim(), cidr: cidr.trim(), ip_version: cidr.includes(":") ? 6 : 4, gateway_ip: gateway.trim() || null, enable_dhcp: dhcp, ...pool };
      await ask("/network/v2.0/subnets", { method: "POST", body: { subnet } });
    } catch (error) {
      await ask(`/network/v2.0/networks/${made.network.id}`, { method: "DELETE" }).catch(() => undefined);
      throw error;
    }
    await queries.invalidateQueries({ queryKey: ["physical"] });
  };
  return (
    <FormDialog title={t("physical.makeOn", { name: wire.name })} open onClose={onClose} action={t("networks.create")} ready={name.trim() !== "" && cidr.trim() !== "" && !bad && (kind === "flat" || (segment.trim() !== "" && !badSegment))} run={run} wide>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
      <div className="grid sm:grid-cols-2 gap-4">
        <Choice label={t("physical.kind")} value={kind} onChange={(id) => setKind(id as typeof kind)} options={[{ id: "flat", label: t("physical.asFlat"), disabled: flatTaken }, { id: "vlan", label: t("physical.asVlan") }]} />
        <Field label={t("physical.segment")} value={segment} onChange={setSegment} mono placeholder="20" disabled={kind === "flat"} error={kind === "vlan" ? badSegment : null} note={t("physical.segmentNote")} />
        <Field label={t("physical.cidr")} value={cidr} onChange={setCidr} mono placeholder="192.0.2.0/24" error={bad ? t("networks.badCidr") : null} />
        <Field label={t("physical.gateway")} value={gateway} onChange={setGateway} mono placeholder="192.0.2.1" />
        <Field label={t("physical.first")} value={first} onChange={setFirst} mono placeholder="192.0.2.100" />
        <Field label={t("physical.last")} value={last} onChange={setLast} mono placeholder="192.0.2.200" />
      </div>
      {kind === "vlan" && plain.length > 0 && <p className="text-hwang text-[13px]">{t("physical.noTags", { names: plain.slice(0, 5).join(", "), n: plain.length })}</p>}
      <p className="label">{t("physical.rangeNote")}</p>
      <Checkbox checked={external} onChange={setExternal}>{t("physical.asExternal")}</Checkbox>
      <Checkbox checked={shared} onChange={setShared}>{t("physical.asShared")}</Checkbox>
      <Checkbox checked={dhcp} onChange={setDhcp}>{t("physical.dhcp")}</Checkbox>
    </FormDialog>
  );
}
