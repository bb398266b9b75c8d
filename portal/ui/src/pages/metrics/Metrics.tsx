import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { ask } from "~/api/http";
import { t } from "~/i18n";
import { bytes, duration, mib, number } from "~/i18n/format";
import { Button } from "~/ui/Button";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { Graph } from "~/ui/graph/Graph";
import { useWord } from "~/ui/hooks";
import { Waiting } from "~/ui/Page";

type Column = (number | null)[];
interface Answer {
  metrics: {
    hours: number; cores: number; memory_mib: number; at: number[]; cpu_percent: Column; memory_used_mib: Column;
    disk_read_bytes_s: Column; disk_write_bytes_s: Column; net_in_bytes_s: Column; net_out_bytes_s: Column; hosts?: number; answered?: number;
  };
}

/** Hosts look every half minute; sooner there is nothing new. */
const AGAIN_MS = 30_000;
const percent = (n: number) => `${number(Math.round(n * 10) / 10)} %`;
const perSecond = (n: number) => `${bytes(n)}/s`;

/** What was used in the last hours: of a server, a host, or all hosts. */
export function Metrics({ path, empty, compact }: { path: string; empty: ReactNode; compact?: boolean }) {
  const [hours, setHours] = useWord("hours", compact ? "1" : "3");
  const [look, setLook] = useState<number | null>(null);
  const { data, error, refetch, dataUpdatedAt } = useQuery({
    queryKey: ["metrics", path, hours], refetchInterval: AGAIN_MS, staleTime: AGAIN_MS, refetchOnMount: "always",
    queryFn: ({ signal }) => ask<Answer>(`${path}?hours=${hours}`, { signal }), placeholderData: (was) => was,
  });
  if (error && !data) return <ErrorNote error={error} retry={refetch} />;
  if (!data) return <Waiting />;
  const m = data.metrics;
  if (m.at.length === 0) return <div className="box"><Empty title={t("metrics.empty")}>{empty}</Empty></div>;
  const to = Math.max(Math.floor(dataUpdatedAt / 1000), m.at.at(-1)!);
  const shared = { at: m.at, from: to - m.hours * 3600, to, look, onLook: setLook };
  const [read, write, into, out] = [t("metrics.read"), t("metrics.write"), t("metrics.in"), t("metrics.out")];
  return (
    <div>
      <div className="flex flex-wrap items-center justify-between gap-2 mb-3">
        <div role="group" aria-label={t("metrics.span")} className="flex gap-1">
          {["1", "3", "24"].map((h) => <Button key={h} small look={hours === h ? "solid" : "plain"} aria-pressed={hours === h} onPress={() => setHours(h)}>{duration(h === "24" ? 86400 : Number(h) * 3600)}</Button>)}
        </div>
        {m.hosts !== undefined && m.answered !== undefined && m.answered < m.hosts && <span className="text-hwang text-[13px]">{t("metrics.answered", { n: m.answered, all: m.hosts })}</span>}
      </div>
      {error && <div className="mb-3"><ErrorNote error={error} retry={refetch} /></div>}
      <div className="grid md:grid-cols-2 gap-3">
        <Graph {...shared} label={t("metrics.cpu", { n: m.cores })} series={[{ name: "CPU", values: m.cpu_percent }]} show={percent} least={10} base={10} />
        <Graph {...shared} label={t("word.memory")} series={[{ name: t("word.memory"), values: m.memory_used_mib }]} show={mib} top={Math.max(m.memory_mib, 1.25 * Math.max(1, ...m.memory_used_mib.map((v) => v ?? 0)))} least={1} />
        <Graph {...shared} label={t("word.disk")} series={[{ name: read, values: m.disk_read_bytes_s }, { name: write, values: m.disk_write_bytes_s }]} show={perSecond} least={1024} />
        <Graph {...shared} label={t("nav.network")} series={[{ name: into, values: m.net_in_bytes_s }, { name: out, values: m.net_out_bytes_s }]} show={perSecond} least={1024} />
      </div>
    </div>
  );
}
