import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { ask } from "~/api/http";
import { useList } from "~/api/query";
import type { FloatingIp } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { Confirm, doomed, type Doom } from "~/ui/Confirm";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { Page } from "~/ui/Page";
import { netState, Status } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";
import { sayError } from "~/ui/Toasts";
import { PointFloating } from "./AttachFloating";

export function FloatingIps() {
  const { data, error, refetch } = useList("floatingip");
  const ports = useList("port").data;
  const servers = useList("server").data;
  const [open, setOpen] = useOpen("new");
  const [aimed, setAimed] = useState<FloatingIp | null>(null);
  const serverOf = (f: FloatingIp) => {
    const device = ports?.find((p) => p.id === f.port_id)?.device_id;
    return servers?.find((s) => s.id === device);
  };
  const free = (f: FloatingIp) => ask(`/network/v2.0/floatingips/${f.id}`, { method: "PUT", body: { floatingip: { port_id: null } } }).catch(sayError);
  const [doom, setDoom] = useState<Doom | null>(null);
  const release = (list: FloatingIp[], clear?: () => void) => setDoom({
    ...doomed(list.map((f) => [f.floating_ip_address, serverOf(f)?.name].filter(Boolean).join(" · ")), () => t("fips.releaseAsk", { name: list[0]!.floating_ip_address }), (n) => t("fips.releaseMany", { n })),
    note: t("fips.releaseNote"), action: t("fips.release"), run: () => Promise.all(list.map((f) => ask(`/network/v2.0/floatingips/${f.id}`, { method: "DELETE" }))).then(clear),
  });
  const allocate = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("fips.allocate")}</Button>;
  return (
    <Page title={t("fips.title")} lead={t("fips.lead")} actions={data?.length === 0 ? null : allocate}>
      <DataTable label={t("fips.title")} rows={data} error={error} retry={refetch} id={(f) => f.id} name={(f) => f.floating_ip_address}
        columns={[
          { id: "ip", head: t("word.address"), width: "minmax(0,1.1fr)", phone: "title", value: (f) => f.floating_ip_address, cell: (f) => <span className="font-mono text-[13px]">{f.floating_ip_address}</span> },
          { id: "state", head: t("word.state"), phone: "aside", value: (f) => f.status, cell: (f) => <Status state={f.port_id ? netState(f.status) : "unused"} /> },
          {
            id: "to", head: t("fips.leads"), width: "minmax(0,2fr)", phone: "line", value: (f) => serverOf(f)?.name ?? f.fixed_ip_address ?? "",
            cell: (f) => {
              const s = serverOf(f);
              if (!f.port_id) return <span className="text-ink3">{t("fips.nowhere")}</span>;
              return <>{s && <Link to="/servers/$id" params={{ id: s.id } as never} className="link">{s.name}</Link>} <span className="font-mono text-[12.5px] text-ink2">{f.fixed_ip_address}</span></>;
            },
          },
        ]}
        menu={(f) => (
          <Menu label={f.floating_ip_address} acts={[
            { id: "to", label: t("fips.attach"), icon: "link", disabled: Boolean(f.port_id), run: () => setAimed(f) },
            { id: "free", label: t("fips.detach"), icon: "close", disabled: !f.port_id, run: () => void free(f) },
            { id: "release", label: t("fips.release"), icon: "trash", danger: true, run: () => release([f]) },
          ]} />
        )}
        bulk={(picked, clear) => <Button small look="danger" onPress={() => release(picked, clear)}>{t("fips.release")}</Button>}
        empty={<Empty title={t("fips.empty")} action={allocate}>{t("fips.emptyNote")}</Empty>} />
      <Confirm of={doom} onClose={() => setDoom(null)} />
      {open && <Allocate onClose={() => setOpen(false)} />}
      {aimed && <PointFloating fip={aimed} onClose={() => setAimed(null)} />}
    </Page>
  );
}

function Allocate({ onClose }: { onClose: () => void }) {
  const outer = (useList("network").data ?? []).filter((n) => n["router:external"]);
  const [pick, setPick] = useState<string | null>(null);
  const net = pick ?? outer[0]?.id ?? null;
  return (
    <FormDialog title={t("fips.allocate")} open onClose={onClose} action={t("fips.allocate")} ready={net !== null}
      run={() => ask("/network/v2.0/floatingips", { method: "POST", body: { floatingip: { floating_network_id: net } } })}>
      <Choice label={t("fips.from")} value={net} onChange={setPick} options={outer.map((n) => ({ id: n.id, label: n.name }))} />
    </FormDialog>
  );
}
