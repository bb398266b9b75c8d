import { Link } from "@tanstack/react-router";
import { useAsk, useList } from "~/api/query";
import { language, t, wordFor } from "~/i18n";
import { isTold, told, type Says } from "~/i18n/said";
import { gib, mib, number } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Icon } from "~/ui/icons";
import { Meter, Page, Section, Waiting } from "~/ui/Page";
import { Dot, toneOf, type Tone } from "~/ui/Status";
import { Metrics } from "../metrics/Metrics";
import { fits, hostState, totals } from "./capacity";
import { groupOf } from "./machines";

interface Event extends Says { id: string; at: string; level: string; kind: string; target: string; message: string }
interface Capacity { flavors?: { id: string; fits: number }[] }

export function Fleet() {
  const hosts = useList("host").data;
  const flavors = useList("flavor", "all").data;
  const servers = useList("server", "all").data;
  const machines = useList("machine").data;
  const work = useList("work").data;
  const capacity = useAsk<Capacity>(["capacity"], "/hanok/v1/capacity").data;
  const events = useAsk<{ events: Event[] }>(["happened"], "/hanok/v1/events?limit=12").data?.events;
  const findings = useAsk<{ checks: { state: string }[] }>(["doctor"], "/hanok/v1/doctor").data?.checks.filter((c) => c.state !== "ok").length ?? 0;
  if (!hosts) return <Page title={t("fleet.title")}><Waiting /></Page>;
  const sum = totals(hosts);
  const room = (id: string) => capacity?.flavors?.find((f) => f.id === id)?.fits;
  const ill = machines?.filter((m) => groupOf(m) === "ill").length ?? 0;
  const alarms: [Tone, string, string, number][] = [
    ["bad", "/fleet/hosts", t("fleet.hostsDown", { n: hosts.filter((h) => h.state !== "up").length }), hosts.filter((h) => h.state !== "up").length],
    ["warn", "/fleet/jobs", t("fleet.jobsLate", { n: work?.filter((w) => w.over_budget).length ?? 0 }), work?.filter((w) => w.over_budget).length ?? 0],
    ["bad", "/servers", t("fleet.serversBad", { n: servers?.filter((s) => s.status === "ERROR").length ?? 0 }), servers?.filter((s) => s.status === "ERROR").length ?? 0],
    ["warn", "/fleet/machines", t("fleet.machinesIll", { n: ill }), ill],
    ["warn", "/fleet/doctor", t("fleet.doctorSays", { n: findings }), findings],
  ];
  const named = (e: Event) => machines?.find((m) => m.id === e.target)?.name ?? servers?.find((s) => s.id === e.target)?.name ?? hosts.find((h) => h.id === e.target)?.hypervisor_hostname;
  const ringing = alarms.filter(([, , , n]) => n > 0);
  return (
    <Page title={t("fleet.title")} lead={t("fleet.lead")}>
      <div className="flex flex-col gap-10">
        {ringing.length === 0
          ? <p className="flex flex-wrap items-center gap-x-3 rounded-[9px] bg-noerok-soft text-noerok px-5 py-3"><Icon name="check" /><b className="font-semibold">{t("fleet.calm")}</b><span>{t("fleet.calmNote")}</span></p>
          : <Section title={t("fleet.alarms")}><ul className="box">{ringing.map(([tone, to, text]) => <li key={text} className="border-b border-line last:border-0"><Link to={to} className="flex items-center gap-3 px-4 h-11 hover:bg-paper"><Dot tone={tone} /><span className="font-semibold">{text}</span><Icon name="right" size={14} className="ml-auto text-ink3" /></Link></li>)}</ul></Section>}
        <div className="grid lg:grid-cols-2 gap-10">
          <Section title={t("fleet.capacity")}>
            <div className="box p-5 flex flex-col gap-4">
              <Meter label={t("word.cores")} used={sum.cores[0]} total={sum.cores[1]} show={number} />
              <Meter label={t("word.memory")} used={sum.ram[0]} total={sum.ram[1]} show={mib} />
              <Meter label={t("word.disk")} used={sum.disk[0]} total={sum.disk[1]} show={gib} />
            </div>
          </Section>
          <Section title={t("fleet.fits")}>
            <div className="box overflow-hidden">
              {(flavors ?? []).toSorted((a, b) => a.ram - b.ram).map((f) => (
                <div key={f.id} className="flex items-baseline gap-3 px-5 py-2 border-b border-line last:border-0">
                  <b className="font-semibold min-w-0 flex-none w-40 max-sm:w-32 [overflow-wrap:anywhere]">{f.name}</b>
                  <span className="label flex-1">{t("word.vcpus", { n: f.vcpus })} · {mib(f.ram)}</span>
                  <span>{t("fleet.more", { n: room(f.id) ?? fits(f, hosts) })}</span>
                </div>
              ))}
            </div>
            <p className="label mt-2">{t("fleet.fitsNote")}</p>
          </Section>
        </div>
        {hosts.length > 0 && <Section title={t("fleet.load")}><Metrics path="/hanok/v1/metrics" empty={t("metrics.emptyHost")} compact /></Section>}
        <Section title={t("hosts.title")} actions={<Link to="/fleet/hosts" className="link text-[13px]">{t("fleet.allHosts")}</Link>}>
          <div className="grid sm:grid-cols-2 lg:grid-cols-4 gap-3">
            {hosts.map((h) => (
              <Link key={h.id} to="/fleet/hosts/$id" params={{ id: h.id } as never} className="box p-4 hover:border-ink3 flex flex-col gap-2.5">
                <span className="flex items-center gap-2"><Dot tone={toneOf(hostState(h))} /><b className="font-semibold truncate">{h.hypervisor_hostname}</b></span>
                <Bar part={(h.memory_mb_used ?? 0) / Math.max(1, h.memory_mb ?? 1)} />
                <span className="label">{t("fleet.serversOn", { n: h.running_vms ?? h.servers?.length ?? 0 })} · {mib((h.memory_mb ?? 0) - (h.memory_mb_used ?? 0))}</span>
              </Link>
            ))}
          </div>
        </Section>
        <Section title={t("fleet.events")}>
          <ul className="box">
            {events?.length === 0 && <li className="px-5 py-4 text-ink2">{t("fleet.noEvents")}</li>}
            {events?.map((e) => (
              <li key={e.id} className="flex flex-wrap items-baseline gap-x-4 px-5 py-2.5 border-b border-line last:border-0">
                <span className="inline-flex items-center gap-2 min-w-0 flex-1 basis-72"><Dot tone={e.level === "error" ? "bad" : e.level === "warn" || e.level === "warning" ? "warn" : "off"} /><span className="[overflow-wrap:anywhere]">{named(e) && <b className="font-semibold">{named(e)} </b>}{happened(e)}</span></span>
                <span className="label"><Ago time={e.at} /></span>
              </li>
            ))}
          </ul>
        </Section>
      </div>
    </Page>
  );
}

/** The server's words where they are the reader's; else at least what kind of thing it was. */
function happened(e: Event): string {
  if (language() === "en" || isTold(e, "message")) return told(e, "message");
  const word = wordFor("event", e.kind);
  return word === e.kind ? e.message : `${word}: ${e.message}`;
}

export function Bar({ part }: { part: number }) {
  return <span aria-hidden="true" className="block h-1 rounded-full bg-sunk overflow-hidden"><span className={`block h-full rounded-full ${part >= 0.9 ? "bg-hwang" : "bg-giwa"}`} style={{ width: `${Math.min(1, part) * 100}%` }} /></span>;
}
