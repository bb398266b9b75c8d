import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { ask } from "~/api/http";
import { useItem, useList } from "~/api/query";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { Confirm, type Doom } from "~/ui/Confirm";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { Icon } from "~/ui/icons";
import { Page, Section, Waiting } from "~/ui/Page";
import { netState, Status } from "~/ui/Status";
import { sayError } from "~/ui/Toasts";
import { removeRouter } from "./remove";

/** A router: its way out, and the subnets that it joins. */
export function RouterPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: router, error, refetch } = useItem("router", id);
  const networks = useList("network").data;
  const subnets = useList("subnet").data;
  const ports = useList("port").data;
  const [joining, setJoining] = useState(false);
  const [doom, setDoom] = useState<Doom | null>(null);
  const [pick, setPick] = useState<string | null>(null);
  const navigate = useNavigate();
  const back = { to: "/networks", label: t("networks.title") };
  if (error) return <Page title={t("routers.one")} back={back}><ErrorNote error={error} retry={refetch} /></Page>;
  if (!router) return <Page title={t("routers.one")} back={back}><Waiting /></Page>;
  const joined = ports?.filter((p) => p.device_id === id && p.device_owner.includes("router_interface")) ?? [];
  const ids = joined.flatMap((p) => p.fixed_ips.map((ip) => ip.subnet_id));
  const outer = networks?.filter((n) => n["router:external"]) ?? [];
  const inside = subnets?.filter((s) => !ids.includes(s.id) && !outer.some((n) => n.id === s.network_id)) ?? [];
  const netName = (net: string | undefined) => networks?.find((n) => n.id === net)?.name ?? "";
  const put = (body: unknown, verb = "") => ask(`/network/v2.0/routers/${id}${verb}`, { method: "PUT", body });
  const gateway = router.external_gateway_info;
  const lost = [...(gateway ? [netName(gateway.network_id)] : []), ...joined.map((p) => netName(p.network_id))].filter(Boolean);
  const remove: Doom = { title: t("routers.deleteAsk", { name: router.name }), note: t("routers.deleteNote"), names: lost, run: () => removeRouter(id).then(() => navigate({ to: "/networks" })) };
  const clear: Doom = { title: t("routers.clearAsk", { name: router.name }), note: t("routers.clearNote"), action: t("routers.clear"),
    names: gateway?.external_fixed_ips.map((x) => x.ip_address), run: () => put({ router: { external_gateway_info: null } }) };
  const leave = (network: string, subnet_id: string): Doom => ({ title: t("routers.leaveAsk", { network, name: router.name }), note: t("routers.leaveNote"), action: t("routers.leave"), run: () => put({ subnet_id }, "/remove_router_interface") });
  return (
    <Page title={router.name} named back={back} lead={<Status state={netState(router.status)} />}
      actions={<Button look="danger" onPress={() => setDoom(remove)}>{t("do.delete")}</Button>}>
      <div className="grid lg:grid-cols-2 gap-10">
        <Section title={t("routers.gateway")}>
          <div className="box p-5 flex items-center justify-between gap-4">
            {gateway ? <div><p className="font-semibold">{netName(gateway.network_id)}</p><p className="font-mono text-[12.5px] text-ink2">{gateway.external_fixed_ips.map((x) => x.ip_address).join(", ")}</p></div> : <p className="text-ink2">{t("routers.noGatewayNote")}</p>}
            {gateway
              ? <Button small onPress={() => setDoom(clear)}>{t("routers.clear")}</Button>
              : outer[0] && <Button small look="solid" onPress={() => void put({ router: { external_gateway_info: { network_id: outer[0]!.id } } }).catch(sayError)}>{t("routers.set", { name: outer[0].name })}</Button>}
          </div>
        </Section>
        <Section title={t("routers.joined")} actions={<Button small onPress={() => setJoining(true)}><Icon name="plus" size={14} />{t("routers.join")}</Button>}>
          <div className="box">
            {joined.length === 0 && <Empty title={t("routers.alone")} action={<Button onPress={() => setJoining(true)}>{t("routers.join")}</Button>}>{t("routers.aloneNote")}</Empty>}
            {joined.map((p) => p.fixed_ips.map((ip) => (
              <div key={ip.ip_address} className="flex items-center gap-4 px-4 h-11 border-b border-line last:border-0">
                <b className="font-semibold">{netName(p.network_id)}</b><span className="font-mono text-[12.5px] text-ink2 flex-1">{ip.ip_address}</span>
                <Button small look="quiet" aria-label={`${t("routers.leave")} ${netName(p.network_id)}`} onPress={() => setDoom(leave(netName(p.network_id), ip.subnet_id))}><Icon name="close" size={14} /></Button>
              </div>
            )))}
          </div>
        </Section>
      </div>
      <Confirm of={doom} onClose={() => setDoom(null)} />
      <FormDialog title={t("routers.join")} open={joining} onClose={() => setJoining(false)} action={t("routers.join")} ready={pick !== null} run={() => put({ subnet_id: pick }, "/add_router_interface")}>
        <Choice label={t("networks.subnets")} value={pick} onChange={setPick} placeholder={t("do.choose")} options={inside.map((s) => ({ id: s.id, label: netName(s.network_id), note: s.cidr }))} />
      </FormDialog>
    </Page>
  );
}
