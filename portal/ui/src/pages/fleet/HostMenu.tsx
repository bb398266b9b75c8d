import { useState } from "react";
import type { Host } from "~/api/types";
import { t } from "~/i18n";
import { FormDialog } from "~/ui/Dialog";
import { Menu } from "~/ui/Menu";
import { sayError } from "~/ui/Toasts";
import { drain, setEnabled } from "./hostActions";

export function HostMenu({ host, className, ask, onAnswered }: { host: Host; className?: string; ask?: boolean; onAnswered?: () => void }) {
  const [asking, setAsking] = useState(Boolean(ask));
  const open = host.status === "enabled";
  return (
    <>
      <Menu label={host.hypervisor_hostname} className={className} acts={[
        { id: "drain", label: t("hosts.drain"), icon: "out", run: () => setAsking(true) },
        { id: "stop", label: t("hosts.drainStop"), icon: "left", run: () => void drain(host, false).catch(sayError) },
        open ? { id: "off", label: t("hosts.disable"), icon: "stop", run: () => void setEnabled(host, false).catch(sayError) }
          : { id: "on", label: t("hosts.enable"), icon: "play", run: () => void setEnabled(host, true).catch(sayError) },
      ]} />
      <FormDialog title={t("hosts.drainAsk", { name: host.hypervisor_hostname })} open={asking} onClose={() => (setAsking(false), onAnswered?.())} action={t("hosts.drain")} run={() => drain(host, true)}>
        <p className="text-ink2">{t("hosts.drainNote")}</p>
      </FormDialog>
    </>
  );
}
