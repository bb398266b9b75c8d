import { useNavigate } from "@tanstack/react-router";
import { useList } from "~/api/query";
import type { Host } from "~/api/types";
import { t } from "~/i18n";
import { mib, number } from "~/i18n/format";
import { Button } from "~/ui/Button";
import { Empty } from "~/ui/Empty";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page } from "~/ui/Page";
import { Status } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";
import { sayError } from "~/ui/Toasts";
import { hostState } from "./capacity";
import { Bar } from "./Fleet";
import { setEnabled } from "./hostActions";
import { HostMenu } from "./HostMenu";
import { Invite } from "./Invite";

export function Hosts() {
  const { data, error, refetch } = useList("host");
  const [adding, setAdding] = useOpen("new");
  const navigate = useNavigate();
  const add = <Button look="solid" onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("hosts.add")}</Button>;
  const each = (hosts: Host[], on: boolean, clear: () => void) => void Promise.all(hosts.map((h) => setEnabled(h, on))).then(clear, sayError);
  return (
    <Page title={t("hosts.title")} lead={t("hosts.lead")} actions={add}>
      <DataTable label={t("hosts.title")} rows={data} error={error} retry={refetch} id={(h) => h.id} name={(h) => h.hypervisor_hostname} sort={{ id: "name", down: false }}
        href={(h) => `/fleet/hosts/${h.id}`} onOpen={(h) => void navigate({ href: `/fleet/hosts/${h.id}` })}
        columns={[
          { id: "name", head: t("word.name"), width: "minmax(0,1.4fr)", phone: "title", value: (h) => h.hypervisor_hostname, cell: (h) => h.hypervisor_hostname },
          { id: "state", head: t("word.state"), phone: "aside", value: hostState, cell: (h) => <Status state={hostState(h)} /> },
          { id: "vms", head: t("servers.title"), width: "80px", end: true, from: 700, value: (h) => h.running_vms ?? 0, cell: (h) => number(h.running_vms ?? 0) },
          { id: "cores", head: t("word.cores"), width: "120px", end: true, phone: "line", value: (h) => h.vcpus ?? 0, cell: (h) => <>{number(h.vcpus_used ?? 0)}<span className="text-ink3"> / {number(h.vcpus ?? 0)}</span></> },
          {
            id: "ram", head: t("word.memory"), width: "minmax(0,1.4fr)", phone: "line", value: (h) => (h.memory_mb_used ?? 0) / (h.memory_mb ?? 1),
            cell: (h) => <span className="grid grid-cols-[60px_auto] items-center gap-3"><Bar part={(h.memory_mb_used ?? 0) / Math.max(1, h.memory_mb ?? 1)} /><span>{mib(h.memory_mb_used)}<span className="text-ink3"> / {mib(h.memory_mb)}</span></span></span>,
          },
          { id: "ip", head: t("word.address"), from: 900, value: (h) => h.host_ip, cell: (h) => <span className="font-mono text-[12.5px]">{h.host_ip}</span> },
        ]}
        menu={(h) => <HostMenu host={h} />}
        bulk={(picked, clear) => (
          <>
            <Button small onPress={() => each(picked, false, clear)}>{t("hosts.disable")}</Button>
            <Button small onPress={() => each(picked, true, clear)}>{t("hosts.enable")}</Button>
          </>
        )}
        empty={<Empty title={t("hosts.empty")} action={add}>{t("hosts.emptyNote")}</Empty>} />
      {adding && <Invite kind="host" onClose={() => setAdding(false)} />}
    </Page>
  );
}
