import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { ask } from "~/api/http";
import { useList } from "~/api/query";
import type { Port, Server } from "~/api/types";
import { t } from "~/i18n";
import { Button, buttonLook } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { Confirm, type Doom } from "~/ui/Confirm";
import { Copy } from "~/ui/Copy";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { Icon } from "~/ui/icons";
import { Waiting } from "~/ui/Page";
import { Menu } from "~/ui/Menu";
import { netState, Status } from "~/ui/Status";
import { AttachFloating } from "../network/AttachFloating";

/** The server's ports: which network, which addresses, which groups let what in. */
export function Plugs({ server }: { server: Server }) {
  const ports = useList("port").data?.filter((p) => p.device_id === server.id);
  const networks = useList("network").data;
  const groups = useList("security_group").data;
  const fips = useList("floatingip").data;
  const [adding, setAdding] = useState(false);
  const [doom, setDoom] = useState<Doom | null>(null);
  const [floating, setFloating] = useState<Port | null>(null);
  if (!ports) return <Waiting />;
  const netName = (id: string) => networks?.find((n) => n.id === id)?.name ?? id;
  return (
    <div className="flex flex-col gap-4">
      {ports.length === 0 && <Empty title={t("plugs.empty")} action={<Button look="solid" onPress={() => setAdding(true)}>{t("plugs.add")}</Button>}>{t("plugs.emptyNote")}</Empty>}
      {ports.map((port) => {
        const fip = fips?.find((f) => f.port_id === port.id);
        return (
          <div key={port.id} className="box relative px-5 py-4 grid sm:grid-cols-[1.2fr_1.4fr_1.4fr_auto] gap-x-6 gap-y-3 items-start">
            <div className="min-w-0"><p className="label">{t("networks.one")}</p><Link to={`/networks/${port.network_id}`} className="link font-semibold">{netName(port.network_id)}</Link><div className="mt-0.5"><Status state={netState(port.status)} /></div></div>
            <div className="min-w-0">
              <p className="label">{t("word.address")}</p>
              {port.fixed_ips.map((ip) => <div key={ip.ip_address}><Copy text={ip.ip_address} mono /></div>)}
              {fip && <div className="flex items-center gap-2"><Copy text={fip.floating_ip_address} mono /><span className="label">{t("fips.one")}</span></div>}
              <div className="text-ink3"><Copy text={port.mac_address} mono /></div>
            </div>
            <div className="min-w-0">
              <p className="label">{t("groups.title")}</p>
              {port.security_groups.map((id) => <Link key={id} to={`/security-groups/${id}`} className="link mr-2">{groups?.find((g) => g.id === id)?.name ?? id}</Link>)}
              {port.security_groups.length === 0 && <span className="text-ink3">–</span>}
            </div>
            <Menu className={`${buttonLook("quiet", true)} !px-1.5 justify-self-end max-sm:absolute max-sm:right-3 max-sm:top-3`} acts={[
              { id: "fip", label: t("fips.attach"), icon: "floating", disabled: Boolean(fip), run: () => setFloating(port) },
              { id: "off", label: t("plugs.remove"), icon: "trash", danger: true,
                run: () => setDoom({
                  title: t("plugs.removeAsk", { network: netName(port.network_id), name: server.name }), note: t("plugs.removeNote"), action: t("plugs.remove"),
                  names: [...port.fixed_ips.map((ip) => ip.ip_address), ...(fip ? [fip.floating_ip_address] : [])],
                  run: () => ask(`/compute/v2.1/servers/${server.id}/os-interface/${port.id}`, { method: "DELETE" }),
                }) },
            ]} />
          </div>
        );
      })}
      {ports.length > 0 && <div><Button onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("plugs.add")}</Button></div>}
      <Confirm of={doom} onClose={() => setDoom(null)} />
      {adding && <AddPlug server={server} onClose={() => setAdding(false)} />}
      {floating && <AttachFloating port={floating} onClose={() => setFloating(null)} />}
    </div>
  );
}

function AddPlug({ server, onClose }: { server: Server; onClose: () => void }) {
  const networks = useList("network").data ?? [];
  const [net, setNet] = useState<string | null>(null);
  const options = networks.filter((n) => !n["router:external"]).map((n) => ({ id: n.id, label: n.name }));
  return (
    <FormDialog title={t("plugs.add")} open onClose={onClose} action={t("plugs.add")} ready={net !== null}
      run={() => ask(`/compute/v2.1/servers/${server.id}/os-interface`, { method: "POST", body: { interfaceAttachment: { net_id: net } } })}>
      <Choice label={t("networks.one")} value={net} onChange={setNet} options={options} placeholder={t("do.choose")} />
    </FormDialog>
  );
}
