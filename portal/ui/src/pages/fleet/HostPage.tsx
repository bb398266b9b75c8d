import { Link, useParams } from "@tanstack/react-router";
import { useAsk, useItem, useList } from "~/api/query";
import { t } from "~/i18n";
import { told, type Says } from "~/i18n/said";
import { gib, mib, number } from "~/i18n/format";
import { Button, buttonLook } from "~/ui/Button";
import { Copy } from "~/ui/Copy";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { useWord } from "~/ui/hooks";
import { Facts, Meter, Page, Section, Waiting } from "~/ui/Page";
import { Status } from "~/ui/Status";
import { sayError } from "~/ui/Toasts";
import { Metrics } from "../metrics/Metrics";
import { hostState } from "./capacity";
import { drain } from "./hostActions";
import { HostMenu } from "./HostMenu";

interface Told { facts: { agent_version: string; qemu_version: string; cpu_model: string; accel: string; physical_networks: Record<string, string> } }
interface Drain { drain: { draining: boolean; left: number; moving: string[]; waiting: string[]; stuck: ({ server: string; reason: string } & Says)[] } }

export function HostPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: host, error, refetch } = useItem("host", id);
  const [doing, setDoing] = useWord("do", "");
  const servers = useList("server", "all").data;
  const emptying = useAsk<Drain>(["host", id, "drain"], host ? `/hanok/v1/hosts/${id}/drain` : null).data?.drain;
  const facts = useAsk<Told>(["host", id, "facts"], host ? `/hanok/v1/why/${id}` : null).data?.facts;
  const back = { to: "/fleet/hosts", label: t("hosts.title") };
  if (error) return <Page title={t("hosts.one")} back={back}><ErrorNote error={error} retry={refetch} /></Page>;
  if (!host) return <Page title={t("hosts.one")} back={back}><Waiting /></Page>;
  const here = host.servers ?? [];
  // An operator's own words, or that the host is being emptied.
  const why = host.service.disabled_reason === "draining" ? t("state.draining") : host.service.disabled_reason;
  const stuck = (server: string) => {
    const found = emptying?.stuck.find((s) => s.server === server);
    return found && told(found, "reason");
  };
  const word = (server: string) => !emptying?.draining ? null
    : emptying.moving.includes(server) ? t("hosts.moving") : stuck(server) ?? (emptying.waiting.includes(server) ? t("hosts.waiting") : null);
  return (
    <Page title={host.hypervisor_hostname} named back={back} lead={<Status state={emptying?.draining ? "draining" : hostState(host)} note={emptying?.draining ? null : why} />}
      actions={<HostMenu key={doing} ask={doing === "drain"} onAnswered={() => setDoing("")} host={host} className={`${buttonLook("plain")} !px-2`} />}>
      {emptying?.draining && (
        <div role="status" className="flex flex-wrap items-center justify-between gap-3 rounded-[9px] bg-hwang-soft text-hwang px-5 py-3 mb-8">
          <b className="font-semibold">{emptying.left === 0 ? t("hosts.drained") : t("hosts.draining", { n: emptying.left })}</b>
          <Button small onPress={() => void drain(host, false).catch(sayError)}>{t("hosts.drainStop")}</Button>
        </div>
      )}
      <div className="grid lg:grid-cols-[minmax(0,1fr)_340px] gap-10 items-start">
        <Section title={t("hosts.runs")}>
          <ul className="box">
            {here.length === 0 && <li><Empty title={t("hosts.idle")}>{t("hosts.idleNote")}</Empty></li>}
            {here.map((s) => {
              const full = servers?.find((x) => x.id === s.uuid);
              return (
                <li key={s.uuid} className="border-b border-line last:border-0">
                  <Link to="/servers/$id" params={{ id: s.uuid } as never} className="flex items-center justify-between gap-4 px-4 min-h-11 py-1 hover:bg-paper">
                    <span className="font-semibold truncate">{full?.name ?? s.name}</span>
                    <span className="flex items-center gap-4"><span className="text-hwang text-[13px]">{word(s.uuid)}</span>{full && <Status state={full.status} />}</span>
                  </Link>
                </li>
              );
            })}
          </ul>
        </Section>
        <div className="flex flex-col gap-8">
          <div className="box p-5 flex flex-col gap-4">
            <Meter label={t("word.cores")} used={host.vcpus_used ?? 0} total={host.vcpus ?? 0} show={number} />
            <Meter label={t("word.memory")} used={host.memory_mb_used ?? 0} total={host.memory_mb ?? 0} show={mib} />
            <Meter label={t("word.disk")} used={host.local_gb_used ?? 0} total={host.local_gb ?? 0} show={gib} />
          </div>
          <Facts rows={[
            [t("hosts.address"), <Copy key="a" text={host.host_ip} mono />], ["ID", <Copy key="i" text={host.id} mono />],
            ...(facts ? [
              ...[[t("racks.version"), facts.agent_version && `hanok ${facts.agent_version}`], ["QEMU", facts.qemu_version && [facts.qemu_version, facts.accel].filter(Boolean).join(" · ")], [t("hosts.processor"), facts.cpu_model]].filter(([, v]) => v),
              ...(Object.keys(facts.physical_networks).length ? [[t("physical.title"), Object.entries(facts.physical_networks).map(([name, device]) => `${name} (${device})`).join(", ")]] : []),
            ] as [string, string][] : []),
            ...(why ? [[t("hosts.reason"), why] as [string, string]] : []),
          ]} />
        </div>
      </div>
      <Section title={t("metrics.title")} className="mt-10"><Metrics path={`/hanok/v1/hosts/${id}/metrics`} empty={t("metrics.emptyHost")} /></Section>
    </Page>
  );
}
