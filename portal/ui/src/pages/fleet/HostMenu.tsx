import { useState } from "react";
import { ask } from "~/api/http";
import { queries } from "~/api/query";
import type { Host } from "~/api/types";
import { t } from "~/i18n";
import { FormDialog } from "~/ui/Dialog";
import { Menu } from "~/ui/Menu";
import { sayError } from "~/ui/Toasts";

const again = (h: Host) => Promise.all([queries.invalidateQueries({ queryKey: ["list", "host"] }), queries.invalidateQueries({ queryKey: ["item", "host", h.id] }), queries.invalidateQueries({ queryKey: ["host", h.id] })]);

/** Whether a host takes new servers. */
export function setEnabled(h: Host, on: boolean): Promise<unknown> {
  return ask(`/compute/v2.1/os-services/${h.service.id}`, { method: "PUT", body: { status: on ? "enabled" : "disabled" } }).then(() => again(h));
}

export function drain(h: Host, on: boolean): Promise<unknown> {
  return ask(`/hanok/v1/hosts/${encodeURIComponent(h.hypervisor_hostname)}/drain`, { method: on ? "POST" : "DELETE" }).then(() => again(h));
}

export function HostMenu({ host, className }: { host: Host; className?: string }) {
  const [asking, setAsking] = useState(false);
  const open = host.status === "enabled";
  return (
    <>
      <Menu label={host.hypervisor_hostname} className={className} acts={[
        { id: "drain", label: t("hosts.drain"), icon: "out", run: () => setAsking(true) },
        { id: "stop", label: t("hosts.drainStop"), icon: "left", run: () => void drain(host, false).catch(sayError) },
        open ? { id: "off", label: t("hosts.disable"), icon: "stop", run: () => void setEnabled(host, false).catch(sayError) }
          : { id: "on", label: t("hosts.enable"), icon: "play", run: () => void setEnabled(host, true).catch(sayError) },
      ]} />
      <FormDialog title={t("hosts.drainAsk", { name: host.hypervisor_hostname })} open={asking} onClose={() => setAsking(false)} action={t("hosts.drain")} run={() => drain(host, true)}>
        <p className="text-ink2">{t("hosts.drainNote")}</p>
      </FormDialog>
    </>
  );
}
