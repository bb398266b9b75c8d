import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useList } from "~/api/query";
import { useSession } from "~/api/session";
import type { Network, Router } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Confirm, doomed, type Doom } from "~/ui/Confirm";
import { Empty } from "~/ui/Empty";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page, Section } from "~/ui/Page";
import { netState, Status } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";
import { CreateNetwork } from "./CreateNetwork";
import { CreateRouter } from "./CreateRouter";
import { removeNetwork, removeRouter } from "./remove";

export function Networks() {
  const { data, error, refetch } = useList("network");
  const routers = useList("router");
  const subnets = useList("subnet").data;
  const ports = useList("port").data;
  const { project } = useSession();
  const [open, setOpen] = useOpen("new");
  const [routing, setRouting] = useOpen("router");
  const [doom, setDoom] = useState<Doom | null>(null);
  const navigate = useNavigate();
  const cidrs = (n: Network) => subnets?.filter((s) => s.network_id === n.id).map((s) => s.cidr).join(", ") ?? "";
  const netName = (id: string | undefined) => data?.find((n) => n.id === id)?.name;
  const kind = (n: Network) => n["router:external"] ? t("networks.external") : n.shared ? t("networks.shared") : t("networks.own");
  const remove = (list: Network[]): Doom => ({
    ...doomed(list.map((n) => n.name), (name) => t("networks.deleteAsk", { name }), (n) => t("networks.deleteMany", { n })), note: t("networks.deleteNote"),
    run: () => Promise.all(list.map((n) => removeNetwork(n.id))),
  });
  const removeRouters = (list: Router[]): Doom => ({
    ...doomed(list.map((r) => r.name), (name) => t("routers.deleteAsk", { name }), (n) => t("routers.deleteMany", { n })), note: t("routers.deleteNote"),
    run: () => Promise.all(list.map((r) => removeRouter(r.id))),
  });
  const create = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("networks.create")}</Button>;
  return (
    <Page title={t("networks.title")} actions={create}>
      <DataTable label={t("networks.title")} rows={data} error={error} retry={refetch} id={(n) => n.id} name={(n) => n.name}
        href={(n) => `/networks/${n.id}`} onOpen={(n) => void navigate({ href: `/networks/${n.id}` })} sort={{ id: "name", down: false }}
        columns={[
          { id: "name", head: t("word.name"), width: "minmax(0,1.5fr)", phone: "title", value: (n) => n.name, cell: (n) => n.name },
          { id: "state", head: t("word.state"), phone: "aside", value: (n) => n.status, cell: (n) => <Status state={netState(n.status)} /> },
          { id: "cidr", head: t("networks.subnets"), width: "minmax(0,1.5fr)", phone: "line", value: cidrs, cell: (n) => <span className="font-mono text-[12.5px]">{cidrs(n) || "–"}</span> },
          { id: "kind", head: t("word.kind"), phone: "line", value: kind, cell: kind },
          { id: "ports", head: t("networks.ports"), width: "90px", end: true, from: 700, value: (n) => ports?.filter((p) => p.network_id === n.id).length ?? 0, cell: (n) => ports?.filter((p) => p.network_id === n.id).length ?? "–" },
        ]}
        bulk={(picked) => <Button small look="danger" isDisabled={!picked.some((n) => n.project_id === project?.id)} onPress={() => setDoom(remove(picked.filter((n) => n.project_id === project?.id)))}><Icon name="trash" size={14} />{t("do.delete")}</Button>}
        empty={<Empty title={t("networks.empty")} action={create}>{t("networks.emptyNote")}</Empty>} />
      <Section className="mt-10" title={t("routers.title")} actions={<Button small onPress={() => setRouting(true)}><Icon name="plus" size={14} />{t("routers.create")}</Button>}>
        <DataTable label={t("routers.title")} rows={routers.data} error={routers.error} retry={routers.refetch} id={(r) => r.id} name={(r) => r.name}
          href={(r) => `/routers/${r.id}`} onOpen={(r) => void navigate({ href: `/routers/${r.id}` })}
          columns={[
            { id: "name", head: t("word.name"), width: "minmax(0,1.5fr)", phone: "title", value: (r) => r.name, cell: (r) => r.name },
            { id: "state", head: t("word.state"), phone: "aside", value: (r) => r.status, cell: (r) => <Status state={netState(r.status)} /> },
            { id: "out", head: t("routers.gateway"), width: "minmax(0,2.6fr)", phone: "line",
              cell: (r) => r.external_gateway_info
                ? <>{netName(r.external_gateway_info.network_id) ?? "–"} <span className="font-mono text-[12.5px] text-ink2">{r.external_gateway_info.external_fixed_ips.map((ip) => ip.ip_address).join(", ")}</span></>
                : <span className="text-ink3">{t("routers.noGateway")}</span> },
          ]}
          bulk={(picked) => <Button small look="danger" onPress={() => setDoom(removeRouters(picked))}><Icon name="trash" size={14} />{t("do.delete")}</Button>}
          empty={<Empty title={t("routers.empty")} action={<Button onPress={() => setRouting(true)}>{t("routers.create")}</Button>}>{t("routers.emptyNote")}</Empty>} />
      </Section>
      {open && <CreateNetwork onClose={() => setOpen(false)} />}
      {routing && <CreateRouter onClose={() => setRouting(false)} />}
      <Confirm of={doom} onClose={() => setDoom(null)} />
    </Page>
  );
}
