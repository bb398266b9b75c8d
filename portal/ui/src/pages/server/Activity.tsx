import { useAsk } from "~/api/query";
import type { InstanceAction, Server, Why } from "~/api/types";
import { known, t, type Key } from "~/i18n";
import { duration, parse } from "~/i18n/format";
import { foreign } from "~/i18n/quote";
import { told } from "~/i18n/said";
import { Ago } from "~/ui/Ago";
import { Copy } from "~/ui/Copy";
import { ErrorNote } from "~/ui/ErrorNote";
import { Waiting } from "~/ui/Page";
import { Dot } from "~/ui/Status";

/** What was asked of the server, newest first, with the request id that finds it in the audit. */
export function Activity({ server }: { server: Server }) {
  const { data, error, refetch } = useAsk<{ instanceActions: InstanceAction[] }>(
    ["server", server.id, "actions"], `/compute/v2.1/servers/${server.id}/os-instance-actions`);
  // What went wrong has its codes there.
  const badly = useAsk<Why>(["server", server.id, "why"], `/hanok/v1/why/${server.id}`).data?.ended_badly;
  const message = (a: InstanceAction) => {
    const coded = badly?.find((b) => b.request === a.request_id);
    return coded ? told(coded, "message") : foreign(a.message ?? "");
  };
  if (error) return <ErrorNote error={error} retry={refetch} />;
  if (!data) return <Waiting />;
  return (
    <ol className="border-l border-line2 ml-1.5">
      {data.instanceActions.map((a) => (
        <li key={a.request_id} className="relative pl-6 pb-5">
          <span className="absolute -left-[5px] top-2 bg-paper rounded-full"><Dot tone={a.message ? "bad" : "good"} /></span>
          <p className="font-semibold">{actionWord(a.action)}</p>
          {a.message && <p className="text-seokganju [overflow-wrap:anywhere]">{message(a)}</p>}
          <p className="text-[13px] text-ink2 flex flex-wrap gap-x-3">
            <Ago time={a.start_time} />
            {a.updated_at && <span>{took((parse(a.updated_at).getTime() - parse(a.start_time).getTime()) / 1000)}</span>}
            <Copy text={a.request_id} mono />
          </p>
        </li>
      ))}
    </ol>
  );
}

const took = (s: number) => (s < 1 ? t("server.tookNone") : t("server.took", { time: duration(s) }));

function actionWord(action: string): string {
  const key = `server.did.${action}`;
  return known(key) ? t(key as Key) : action;
}
