import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { ask } from "~/api/http";
import { useItem, useList } from "~/api/query";
import { useSession } from "~/api/session";
import type { Port, Subnet } from "~/api/types";
import { t, wordFor } from "~/i18n";
import { Button } from "~/ui/Button";
import { Confirm, type Doom } from "~/ui/Confirm";
import { Copy } from "~/ui/Copy";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { cx } from "~/ui/cx";
import { Field } from "~/ui/Field";
import { useOpen, useWord } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { Facts, Page, Section, Waiting } from "~/ui/Page";
import { netState, Status } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";
import { freeCidr } from "./cidr";
import { removeNetwork } from "./remove";

export function NetworkPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: net, error, refetch } = useItem("network", id);
  const subnets = useList("subnet").data;
  const ports = useList("port").data?.filter((p) => p.network_id === id);
  const servers = useList("server").data;
  const { project, admin } = useSession();
  const [adding, setAdding] = useOpen("subnet");
  const [sought] = useWord("at", "");
  const [drop, setDrop] = useWord("drop", "");
  const [doom, setDoom] = useState<Doom | null>(null);
  const navigate = useNavigate();
  const dropped = subnets?.find((s) => s.id === drop);
  const isThere = subnets?.some((s) => s.id === sought) && net !== undefined;
  useEffect(() => {
    if (isThere) document.getElementById(sought)?.scrollIntoView({ block: "center" });
  }, [sought, isThere]);
  const back = { to: "/networks", label: t("networks.title") };
  if (error) return <Page title={t("networks.one")} back={back}><ErrorNote error={error} retry={refetch} /></Page>;
  if (!net) return <Page title={t("networks.one")} back={back}><Waiting /></Page>;
  // A shared or external network of others may be used only: what would be refused is not offered.
  const owned = admin || net.project_id === project?.id;
  const mine = subnets?.filter((s) => s.network_id === id) ?? [];
  const remove = (s: Subnet): Doom => ({ title: t("networks.deleteSubnetAsk", { name: s.cidr }), note: t("networks.deleteSubnetNote"), run: () => ask(`/network/v2.0/subnets/${s.id}`, { method: "DELETE" }) });
  const removeAll = (): Doom => ({ title: t("networks.deleteAsk", { name: net.name }), note: t("networks.deleteNote"), names: mine.map((s) => s.cidr), run: () => removeNetwork(id).then(() => navigate({ to: "/networks" })) });
  const owner = (p: Port) => wordFor("port", p.device_owner);
  const device = (p: Port) => servers?.find((s) => s.id === p.device_id);
  return (
    <Page title={net.name} named back={back} lead={<Status state={netState(net.status)} />}
      actions={owned && <><Button onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("networks.addSubnet")}</Button><Button look="danger" onPress={() => setDoom(removeAll())}>{t("do.delete")}</Button></>}>
      <div className="grid grid-cols-[minmax(0,1fr)] gap-10">
        <Section title={t("networks.subnets")}>
          {mine.length === 0 && <div className="box"><Empty title={t("networks.noSubnet")} action={owned && <Button look="solid" onPress={() => setAdding(true)}>{t("networks.addSubnet")}</Button>}>{t("networks.noSubnetNote")}</Empty></div>}
          <div className="grid sm:grid-cols-2 gap-3">
            {mine.map((s) => (
              <div key={s.id} id={s.id} aria-current={s.id === sought || undefined} className={cx("box p-5", s.id === sought && "!bg-hwang-soft shadow-[inset_3px_0_0_var(--hwang)]")}>
                <div className="flex justify-between mb-2"><p className="font-mono text-[15px]">{s.cidr}</p>{owned && <Menu label={s.cidr} acts={[{ id: "rm", label: t("do.delete"), icon: "trash", danger: true, run: () => setDoom(remove(s)) }]} />}</div>
                <Facts rows={[
                  [t("networks.gateway"), s.gateway_ip ?? "–"], ["DHCP", s.enable_dhcp ? t("word.yes") : t("word.no")],
                  [t("networks.pool"), s.allocation_pools.map((p) => `${p.start} – ${p.end}`).join(", ") || "–"],
                  ["DNS", s.dns_nameservers.join(", ") || t("networks.dnsOwn")],
                ]} />
              </div>
            ))}
          </div>
        </Section>
        <Section title={t("networks.ports")}>
          <DataTable label={t("networks.ports")} rows={ports} id={(p) => p.id} name={(p) => p.fixed_ips[0]?.ip_address ?? p.id}
            columns={[
              { id: "ip", head: t("word.address"), phone: "title", value: (p) => p.fixed_ips.map((i) => i.ip_address).join(" "), cell: (p) => <span className="font-mono text-[12.5px]">{p.fixed_ips.map((i) => i.ip_address).join(", ") || "–"}</span> },
              { id: "state", head: t("word.state"), phone: "aside", value: (p) => p.status, cell: (p) => <Status state={netState(p.status)} /> },
              { id: "device", head: t("networks.device"), width: "minmax(0,1.6fr)", phone: "line", value: (p) => device(p)?.name ?? owner(p),
                cell: (p) => device(p) ? <Link to="/servers/$id" params={{ id: p.device_id } as never} className="link">{device(p)!.name}</Link> : p.device_owner.startsWith("network:router") ? <Link to="/routers/$id" params={{ id: p.device_id } as never} className="link">{owner(p)}</Link>
                    : <span className="text-ink2">{owner(p) || "–"}</span> },
              { id: "mac", head: "MAC", from: 760, value: (p) => p.mac_address, cell: (p) => <span className="font-mono text-[12.5px]">{p.mac_address}</span> },
            ]}
            empty={<Empty title={t("networks.noPorts")}>{t("networks.noPortsNote")}</Empty>} />
        </Section>
        <Section title={t("word.details")}>
          <Facts rows={[
            ["ID", <Copy key="id" text={net.id} mono />], ["MTU", net.mtu], [t("word.description"), net.description || "–"],
            ...(net["provider:network_type"] ? [[t("networks.provider"), [net["provider:network_type"], net["provider:physical_network"], net["provider:segmentation_id"]].filter(Boolean).join(" · ")] as [string, string]] : []),
          ]} />
        </Section>
      </div>
      {adding && owned && <AddSubnet network={id} taken={subnets?.map((s) => s.cidr) ?? []} onClose={() => setAdding(false)} />}
      <Confirm of={doom ?? (dropped ? remove(dropped) : null)} onClose={() => (setDoom(null), setDrop(""))} />
    </Page>
  );
}

function AddSubnet({ network, taken, onClose }: { network: string; taken: string[]; onClose: () => void }) {
  const [cidr, setCidr] = useState(() => freeCidr(taken));
  return (
    <FormDialog title={t("networks.addSubnet")} open onClose={onClose} action={t("networks.addSubnet")} ready={cidr.trim() !== ""}
      run={() => ask("/network/v2.0/subnets", { method: "POST", body: { subnet: { network_id: network, cidr: cidr.trim(), ip_version: cidr.includes(":") ? 6 : 4 } } })}>
      <Field label={t("networks.cidr")} value={cidr} onChange={setCidr} mono autoFocus />
    </FormDialog>
  );
}
