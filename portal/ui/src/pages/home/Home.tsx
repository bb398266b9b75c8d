import { Link } from "@tanstack/react-router";
import { useAsk, useList } from "~/api/query";
import { useSession } from "~/api/session";
import type { AuditRow, Server } from "~/api/types";
import { t } from "~/i18n";
import { mib, number } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Meter, Page, Section, Waiting } from "~/ui/Page";
import { Dot, Status, stateWord, toneOf } from "~/ui/Status";
import type { Limits } from "../create/wish";
import { deed, pageOf } from "../project/deed";
import { addressesOf } from "../servers/addresses";
import { taskWord } from "../servers/Servers";
import { Welcome } from "./Welcome";

export function Home() {
  const { user } = useSession();
  const servers = useList("server").data;
  const fips = useList("floatingip").data;
  const limits = useAsk<{ limits: { absolute: Limits } }>(["limits"], "/compute/v2.1/limits").data?.limits.absolute;
  if (!servers) return <Page title={t("home.title")}><Waiting /></Page>;
  if (servers.length === 0) return <Welcome />;
  const running = servers.filter((s) => s.status === "ACTIVE").length;
  const heed = servers.filter((s) => s.status === "ERROR" || s.status === "VERIFY_RESIZE" || s["OS-EXT-STS:task_state"] !== null);
  const idle = fips?.filter((f) => !f.port_id) ?? [];
  const recent = servers.toSorted((a, b) => b.updated.localeCompare(a.updated)).slice(0, 8);
  return (
    <Page title={t("home.hello", { name: user.name })} named lead={t("home.sum", { n: running, all: servers.length })}>
      <div className="grid lg:grid-cols-[minmax(0,1fr)_320px] gap-x-12 gap-y-10 items-start">
        <div className="flex flex-col gap-10 min-w-0">
          <States servers={servers} />
          {(heed.length > 0 || idle.length > 0) && (
            <Section title={t("home.heed")}>
              <ul className="box">
                {heed.slice(0, 6).map((s) => (
                  <Line key={s.id} to={`/servers/${s.id}`} title={s.name} note={<Status state={s.status} note={taskWord(s)} />} />
                ))}
                {idle.length > 0 && <Line to="/floating-ips" title={t("home.idleFips", { n: idle.length })} note={<span className="font-mono text-[12.5px] text-ink2">{idle[0]?.floating_ip_address}</span>} />}
              </ul>
            </Section>
          )}
          <Section title={t("home.recent")} actions={<Link to="/servers" className="link text-[13px]">{t("home.all")}</Link>}>
            <ul className="box">
              {recent.map((s) => (
                <Line key={s.id} to={`/servers/${s.id}`} title={<span className="flex items-center gap-2.5 min-w-0"><Dot tone={toneOf(s.status)} /><span className="truncate">{s.name}</span></span>}
                  note={<><span className="font-mono text-[12.5px] text-ink2 hidden sm:inline">{addressesOf(s)[0]}</span><span className="label w-24 text-right"><Ago time={s.updated} /></span></>} />
              ))}
            </ul>
          </Section>
        </div>
        <div className="flex flex-col gap-10 min-w-0">
          <Section title={t("quota.title")} actions={<Link to="/quota" className="link text-[13px]">{t("home.more")}</Link>}>
            <div className="box p-5 flex flex-col gap-4">
              {limits ? (
                <>
                  <Meter label={t("servers.title")} used={limits.totalInstancesUsed} total={limits.maxTotalInstances} show={number} />
                  <Meter label={t("word.cores")} used={limits.totalCoresUsed} total={limits.maxTotalCores} show={number} />
                  <Meter label={t("word.memory")} used={limits.totalRAMUsed} total={limits.maxTotalRAMSize} show={mib} />
                </>
              ) : <Waiting />}
            </div>
          </Section>
          <Lately />
        </div>
      </div>
    </Page>
  );
}

/** What was done in the project, by anybody. */
function Lately() {
  const { project } = useSession();
  const { data } = useAsk<{ audit: AuditRow[] }>(["activity", project?.id, "home"], project && `/hanok/v1/audit?limit=6&project_id=${project.id}`);
  if (!data?.audit.length) return null;
  return (
    <Section title={t("activity.title")} actions={<Link to="/activity" className="link text-[13px]">{t("home.activity")}</Link>}>
      <ol className="border-l border-line2 pl-4 flex flex-col gap-4">
        {data.audit.map((a) => {
          const page = pageOf(a);
          const what = deed(a.action) ?? a.action;
          const name = a.target_name ?? what.replace(/^[a-z]/, (c) => c.toUpperCase());
          return (
            <li key={a.id} className="relative min-w-0">
              <span aria-hidden="true" className="absolute -left-[20.5px] top-[7px] size-2 rounded-full bg-line2" />
              <div className="truncate font-semibold" title={name}>{page ? <Link to={page} className="hover:underline">{name}</Link> : name}</div>
              {a.target_name && <div className="label truncate">{what}</div>}
              <div className="label flex"><span className="truncate">{a.user_name ?? t("audit.system")}</span><span className="shrink-0 whitespace-pre">, <Ago time={a.at} /></span></div>
            </li>
          );
        })}
      </ol>
    </Section>
  );
}

function Line({ to, title, note }: { to: string; title: React.ReactNode; note: React.ReactNode }) {
  return (
    <li className="border-b border-line last:border-0">
      <Link to={to} className="flex items-center justify-between gap-4 px-4 h-11 hover:bg-paper">
        <span className="font-semibold truncate">{title}</span><span className="flex items-center gap-3 shrink-0">{note}</span>
      </Link>
    </li>
  );
}

/** Every server as one tile of a roof, in the colour of its state. */
function States({ servers }: { servers: Server[] }) {
  const counts = new Map<string, number>();
  for (const s of servers) counts.set(s.status, (counts.get(s.status) ?? 0) + 1);
  const bar = { good: "bg-noerok", busy: "bg-cheong", off: "bg-line2", bad: "bg-seokganju", warn: "bg-hwang" } as const;
  return (
    <div>
      <div className="flex h-3 rounded-full overflow-hidden gap-[2px]" aria-hidden="true">
        {[...counts].map(([state, n]) => <span key={state} className={bar[toneOf(state)]} style={{ flexGrow: n }} />)}
      </div>
      <ul className="flex flex-wrap gap-x-6 gap-y-1 mt-3">
        {[...counts].map(([state, n]) => <li key={state} className="inline-flex items-center gap-2"><Dot tone={toneOf(state)} /><b className="font-semibold text-[16px]">{number(n)}</b><span className="text-ink2">{stateWord(state)}</span></li>)}
      </ul>
    </div>
  );
}
