import { useState } from "react";
import { ask } from "~/api/http";
import { useList } from "~/api/query";
import type { FloatingIp, Port } from "~/api/types";
import { t } from "~/i18n";
import { Choice } from "~/ui/Choice";
import { FormDialog } from "~/ui/Dialog";

const NEW = "new";

/** A floating address for a port: one that is free, or a new one. */
export function AttachFloating({ port, onClose }: { port: Port; onClose: () => void }) {
  const fips = useList("floatingip").data ?? [];
  const networks = useList("network").data ?? [];
  const outer = networks.filter((n) => n["router:external"]);
  const free = fips.filter((f) => !f.port_id);
  const [pick, setPick] = useState<string | null>(null);
  const value = pick ?? free[0]?.id ?? NEW;
  const run = () => value === NEW
    ? ask("/network/v2.0/floatingips", { method: "POST", body: { floatingip: { floating_network_id: outer[0]?.id, port_id: port.id } } })
    : ask(`/network/v2.0/floatingips/${value}`, { method: "PUT", body: { floatingip: { port_id: port.id } } });
  return (
    <FormDialog title={t("fips.attach")} open onClose={onClose} action={t("fips.attachDo")} run={run} ready={value !== NEW || outer.length > 0}>
      <p className="text-ink2">{t("fips.attachNote")}</p>
      <Choice label={t("fips.one")} value={value} onChange={setPick}
        options={[...free.map((f) => ({ id: f.id, label: f.floating_ip_address })), { id: NEW, label: t("fips.new"), note: outer[0]?.name, disabled: outer.length === 0 }]} />
    </FormDialog>
  );
}

/** The other way round: a free address looks for a port. */
export function PointFloating({ fip, onClose }: { fip: FloatingIp; onClose: () => void }) {
  const ports = useList("port").data ?? [];
  const servers = useList("server").data ?? [];
  const [pick, setPick] = useState<string | null>(null);
  const options = ports.filter((p) => p.device_owner.startsWith("compute:")).map((p) => ({
    id: p.id, label: servers.find((s) => s.id === p.device_id)?.name ?? p.device_id, note: p.fixed_ips[0]?.ip_address,
  }));
  return (
    <FormDialog title={t("fips.point", { address: fip.floating_ip_address })} open onClose={onClose} action={t("fips.attachDo")} ready={pick !== null}
      run={() => ask(`/network/v2.0/floatingips/${fip.id}`, { method: "PUT", body: { floatingip: { port_id: pick } } })}>
      <Choice label={t("server.one")} value={pick} onChange={setPick} options={options} placeholder={t("do.choose")} />
      {options.length === 0 && <p className="label">{t("fips.noServer")}</p>}
    </FormDialog>
  );
}
