import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { useList } from "~/api/query";
import type { Work } from "~/api/types";
import { t, wordFor } from "~/i18n";
import { jobState, told } from "~/i18n/said";
import { ago, duration, parse } from "~/i18n/format";
import { Empty } from "~/ui/Empty";
import { Switch } from "~/ui/Choice";
import { useNow } from "~/ui/hooks";
import { Page } from "~/ui/Page";
import { Dot } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";

const places: Record<string, string> = { server: "/servers/$id", machine: "/fleet/machines/$id", router: "/routers/$id", network: "/networks/$id" };

/** Every row of work: the answer of `hanok why`, for all at once. */
export function Jobs() {
  const [all, setAll] = useState(false);
  const { data, error, refetch } = useList("work", all ? "all" : "mine");
  const machines = useList("machine").data;
  // What may take for ever only keeps watch.
  const rows = useMemo(() => data?.filter((w) => all || w.budget_s !== null || w.last_error)
    .map((w) => ({ ...w, name: w.name ?? machines?.find((m) => m.id === w.id)?.name })), [data, machines, all]);
  const now = useNow();
  const why = (w: Work) => told(w, "reason") || told(w, "last_error") || "–";
  const late = (w: Work) => w.over_budget ?? (w.budget_s !== null && (now - parse(w.since).getTime()) / 1000 > w.budget_s);
  return (
    <Page title={t("jobs.title")} lead={t("jobs.lead")}>
      <DataTable label={t("jobs.title")} rows={rows} error={error} retry={refetch} id={(w) => w.id} name={(w) => w.name ?? w.id} sort={{ id: "since", down: false }}
        search={(w) => w.id} tools={<Switch on={all} onChange={setAll}>{t("jobs.all")}</Switch>}
        columns={[
          { id: "name", head: t("word.name"), width: "minmax(0,1.3fr)", phone: "title", value: (w) => w.name ?? w.id, cell: (w) => places[w.kind] ? <Link to={places[w.kind]} params={{ id: w.id } as never} className="hover:underline">{w.name ?? w.id}</Link> : (w.name ?? w.id) },
          { id: "kind", head: t("word.kind"), width: "110px", phone: "line", value: (w) => wordFor("kind", w.kind), cell: (w) => wordFor("kind", w.kind) },
          { id: "state", head: t("word.state"), phone: "aside", value: (w) => jobState(w.state), cell: (w) => <span className="inline-flex items-center gap-2"><Dot tone={late(w) ? "warn" : w.state === "Failed" ? "bad" : w.budget_s === null ? "off" : "busy"} />{jobState(w.state)}</span> },
          { id: "reason", head: t("jobs.reason"), width: "minmax(0,2.2fr)", phone: "line", value: why, cell: (w) => <span title={why(w)}>{why(w)}</span> },
          { id: "since", head: t("jobs.since"), width: "110px", end: true, from: 700, value: (w) => w.since, cell: (w) => ago(w.since, now) },
          { id: "budget", head: t("jobs.budget"), width: "110px", end: true, from: 900, value: (w) => w.budget_s ?? Infinity, cell: (w) => late(w) ? <span className="text-hwang font-semibold">{t("jobs.late")}</span> : duration(w.budget_s) },
        ]}
        empty={<Empty title={t("jobs.empty")}>{t("jobs.emptyNote")}</Empty>} />
    </Page>
  );
}
