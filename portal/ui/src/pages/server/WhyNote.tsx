import { useAsk } from "~/api/query";
import type { Server, Why } from "~/api/types";
import { t } from "~/i18n";
import { foreign } from "~/i18n/quote";
import { jobState, told } from "~/i18n/said";
import { duration, parse } from "~/i18n/format";
import { useNow } from "~/ui/hooks";
import { Dot } from "~/ui/Status";

/** While something is under way, or has failed: what, why, since when, and how long it may take. */
export function WhyNote({ server }: { server: Server }) {
  const busy = server["OS-EXT-STS:task_state"] !== null || server.status === "BUILD";
  const { data } = useAsk<Why>(["server", server.id, "why"], `/hanok/v1/why/${server.id}`);
  const life = data?.life_cycle;
  const fault = data?.fault ? told(data, "fault") : foreign(server.fault?.message ?? "");
  if (server.status === "ERROR" && fault) {
    return (
      <div role="status" className="flex gap-3 rounded-[8px] bg-seokganju-soft px-4 py-3 mb-6">
        <span className="mt-1.5"><Dot tone="bad" /></span>
        <div className="min-w-0"><p className="font-semibold">{t("server.failed")}</p><p className="[overflow-wrap:anywhere]">{fault}</p><p className="text-ink2">{t("server.failedDo")}</p></div>
      </div>
    );
  }
  if (!life || (!busy && !life.reason && !life.over_budget && !data?.host?.silent)) return null;
  return (
    <div role="status" className="rounded-[8px] bg-cheong-soft px-4 py-3 mb-6">
      <p className="flex items-center gap-2.5"><Dot tone={life.over_budget ? "warn" : "busy"} /><b className="font-semibold">{jobState(life.state)}</b>{life.reason && <span>{told(life, "reason")}</span>}</p>
      <Since since={life.since} budget={life.budget_s} />
      {life.last_error && <p className="text-seokganju mt-1 [overflow-wrap:anywhere]">{told(life, "last_error")}</p>}
      {data?.host?.silent && <p className="text-hwang mt-1">{t("server.hostSilent")}</p>}
    </div>
  );
}

function Since({ since, budget }: { since: string; budget: number | null }) {
  const now = useNow();
  const s = Math.max(0, (now - parse(since).getTime()) / 1000);
  const part = budget ? Math.min(1, s / budget) : 0;
  return (
    <div className="mt-1.5">
      <p className="text-[13px] text-ink2">{budget ? t("server.sinceOf", { since: duration(s), budget: duration(budget) }) : t("server.since", { since: duration(s) })}</p>
      {budget && (
        <div className="h-1 mt-1.5 rounded-full bg-[color-mix(in_srgb,var(--cheong)_18%,transparent)] overflow-hidden" aria-hidden="true">
          <div className={`h-full ${part >= 1 ? "bg-hwang" : "bg-cheong"} transition-[width] duration-1000 ease-linear`} style={{ width: `${part * 100}%` }} />
        </div>
      )}
    </div>
  );
}
