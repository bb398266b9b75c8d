import { useInfiniteQuery } from "@tanstack/react-query";
import { ask } from "~/api/http";
import type { AuditRow } from "~/api/types";
import { t } from "~/i18n";
import { Ago } from "~/ui/Ago";
import { Button } from "~/ui/Button";
import { Copy } from "~/ui/Copy";
import { Empty } from "~/ui/Empty";
import { DataTable } from "~/ui/table/DataTable";
import { deed } from "./deed";

interface Rows { audit: AuditRow[]; links: { next: string | null } }

/** Who did what, newest first, in pages. */
export function Deeds({ label, project }: { label: string; project: string | null }) {
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetching } = useInfiniteQuery({
    queryKey: project ? ["activity", project] : ["audit"],
    queryFn: ({ pageParam, signal }) => ask<Rows>(pageParam, { signal }),
    initialPageParam: `/hanok/v1/audit?limit=200${project ? `&project_id=${project}` : ""}`,
    getNextPageParam: (last) => {
      if (!last.links.next) return undefined;
      const url = new URL(last.links.next, location.origin);
      return url.pathname + url.search;
    },
    staleTime: 0,
  });
  return (
    <>
      <DataTable label={label} rows={data?.pages.flatMap((p) => p.audit)} error={error} retry={refetch} id={(a) => a.id} name={(a) => a.action} search={(a) => `${a.request_id} ${a.target}`}
        columns={[
          { id: "what", head: t("audit.what"), width: "minmax(0,1.4fr)", phone: "title", value: (a) => `${deed(a.action) ?? ""} ${a.action}`, cell: (a) => deed(a.action) ?? <span className="font-mono text-[12.5px] font-normal">{a.action}</span> },
          { id: "action", head: t("audit.action"), width: "minmax(0,1.5fr)", from: 1000, value: (a) => a.action, cell: (a) => <span className="font-mono text-[12.5px] text-ink2">{a.action}</span> },
          { id: "who", head: t("audit.who"), phone: "line", value: (a) => `${a.user_name ?? ""} ${a.project_name ?? ""}`, cell: (a) => a.user_name ? <>{a.user_name} {!project && <span className="text-ink3">{a.project_name}</span>}</> : <span className="text-ink3">{t("audit.system")}</span> },
          { id: "target", head: t("audit.target"), width: "minmax(0,1.3fr)", phone: "line", value: (a) => a.target_name ?? a.target, cell: (a) => a.target_name ? <span className="truncate" title={a.target}>{a.target_name}</span> : <Copy text={a.target} mono /> },
          { id: "request", head: t("audit.request"), width: "minmax(0,1.3fr)", from: 1000, value: (a) => a.request_id, cell: (a) => <Copy text={a.request_id} mono /> },
          { id: "when", head: t("audit.when"), width: "110px", end: true, phone: "aside", value: (a) => a.at, cell: (a) => <Ago time={a.at} /> },
        ]}
        empty={<Empty title={t("audit.empty")}>{t("audit.emptyNote")}</Empty>} />
      {hasNextPage && <div className="flex justify-center mt-5"><Button isDisabled={isFetching} onPress={() => void fetchNextPage()}>{t("audit.older")}</Button></div>}
    </>
  );
}
