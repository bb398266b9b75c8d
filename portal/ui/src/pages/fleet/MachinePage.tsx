import { useParams } from "@tanstack/react-router";
import { useAsk, useItem } from "~/api/query";
import { known, t, type Key } from "~/i18n";
import { jobState, told, type Says } from "~/i18n/said";
import { bytes, mib } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Copy } from "~/ui/Copy";
import { ErrorNote } from "~/ui/ErrorNote";
import { useWord } from "~/ui/hooks";
import { Facts, Page, Section, Waiting } from "~/ui/Page";
import { Dot, Status, stateWord, toneOf } from "~/ui/Status";
import { MachineActions } from "./MachineActions";

interface Happened extends Says { id: string; at: string; level: string; message: string }
interface Task extends Says { stage: string; reason: string; done_bytes: number; total_bytes: number }
interface Progress { progress: Says & { state: unknown; reason: string | null; last_error: string | null; task: Task | null } }

export function MachinePage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const [doing, setDoing] = useWord("do", "");
  const { data: m, error, refetch } = useItem("machine", id);
  const events = useAsk<{ events: Happened[] }>(["machine", id, "events"], `/hanok/v1/machines/${id}/events`).data?.events;
  const progress = useAsk<Progress>(["machine", id, "progress"], `/hanok/v1/machines/${id}/progress`).data?.progress;
  const back = { to: "/fleet/machines", label: t("machines.title") };
  if (error) return <Page title={t("machines.one")} back={back}><ErrorNote error={error} retry={refetch} /></Page>;
  if (!m) return <Page title={t("machines.one")} back={back}><Waiting /></Page>;
  // One that rests well has nothing to say, whatever its live system did last.
  const calm = ["good", "off"].includes(toneOf(m.status));
  const task = calm ? null : progress?.task;
  const note = m.to_do ? told(m, "to_do") : calm ? null : progress?.reason ? told(progress, "reason") : told(m, "message");
  const what = (word: string) => (known(`machines.for.${word}`) ? t(`machines.for.${word}` as Key) : word);
  return (
    <Page title={m.name} named back={back} lead={<Status state={m.status} note={`${t("machines.power")} ${stateWord(m.power)}`} />} actions={<MachineActions key={doing} m={m} ask={doing} onAnswered={() => setDoing("")} />}>
      {(note || task) && (
        <div role="status" className="rounded-[9px] bg-cheong-soft px-5 py-3 mb-8">
          {note && <p>{note}</p>}
          {task && <p className="text-ink2">{jobState(progress?.state)} {told(task, "reason")}{task.total_bytes > 0 && ` ${bytes(task.done_bytes)} / ${bytes(task.total_bytes)}`}</p>}
          {!calm && progress?.last_error && <p className="text-seokganju">{told(progress, "last_error")}</p>}
        </div>
      )}
      <div className="grid lg:grid-cols-2 gap-x-12 gap-y-10">
        <Section title={t("server.what")}>
          <Facts rows={[
            [t("machines.product"), [m.vendor, m.product].filter(Boolean).join(" ") || "–"], [t("word.cores"), `${m.cores || "–"} ${m.cpu_model ?? ""}`],
            [t("word.memory"), m.memory_mib ? mib(m.memory_mib) : "–"], [t("word.disk"), m.disk_bytes ? bytes(m.disk_bytes) : "–"],
            ...(m.image_name ? [[t("images.one"), m.image_name] as [string, string]] : []), ...(m.tags.length ? [[t("word.tags"), m.tags.join(", ")] as [string, string]] : []),
            ...(m.serial ? [["S/N", <Copy key="s" text={m.serial} mono />] as [string, React.ReactNode]] : []), ["ID", <Copy key="id" text={m.id} mono />],
          ]} />
        </Section>
        {m.verdicts && m.verdicts.length > 0 && (
          <Section title={t("machines.fitFor")}>
            <ul className="flex flex-col gap-2">{m.verdicts.map((v) => <li key={v.what} className="flex gap-2.5"><span className="mt-1.5"><Dot tone={v.ok ? "good" : "warn"} /></span><span><b className="font-semibold">{what(v.what)}</b>{v.reason && <span className="text-ink2"> {told(v, "reason")}</span>}</span></li>)}</ul>
          </Section>
        )}
        <Section title={t("machines.disks")}><List rows={m.disks.map((d) => [d.name, `${bytes(d.size_bytes)} · ${d.kind}${d.model ? ` · ${d.model}` : ""}`])} /></Section>
        <Section title={t("machines.nics")}><List rows={m.nics.map((n) => [n.name ?? n.mac, [n.name && n.mac, n.segment, ...n.addresses].filter(Boolean).join(" · ")])} /></Section>
        <Section title={t("machines.history")} className="lg:col-span-2">
          <ul className="box">
            {events?.length === 0 && <li className="px-5 py-4 text-ink2">{t("machines.noHistory")}</li>}
            {events?.map((e) => <li key={e.id} className="flex items-baseline justify-between gap-6 px-5 py-2 border-b border-line last:border-0"><span className="[overflow-wrap:anywhere]">{told(e, "message")}</span><span className="label shrink-0"><Ago time={e.at} /></span></li>)}
          </ul>
        </Section>
      </div>
    </Page>
  );
}

function List({ rows }: { rows: [string, string][] }) {
  return rows.length === 0 ? <p className="text-ink3">–</p> : (
    <ul className="box">{rows.map(([a, b]) => <li key={a} className="flex justify-between gap-6 px-4 py-2 border-b border-line last:border-0"><b className="font-semibold">{a}</b><span className="font-mono text-[12.5px] text-ink2 text-right [overflow-wrap:anywhere]">{b}</span></li>)}</ul>
  );
}
