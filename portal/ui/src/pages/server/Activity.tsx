import { useAsk } from "~/api/query";
import type { InstanceAction, Server } from "~/api/types";
import { known, t, type Key } from "~/i18n";
import { duration, parse } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Copy } from "~/ui/Copy";
import { ErrorNote } from "~/ui/ErrorNote";
import { Waiting } from "~/ui/Page";
import { Dot } from "~/ui/Status";

/** What was asked of the server, newest first, with the request id that finds it in the audit. */
export function Activity({ server }: { server: Server }) {
  const { data, error, refetch } = useAsk<{ instanceActions: InstanceAction[] }>(
    ["server", server.id, "actions"], `/compute/v2.1/servers/${server.id}/os-instance-actions`);
  if (error) return <ErrorNote error={error} retry={refetch} />;
  if (!data) return <Waiting />;
  return (
    <ol className="border-l border-line2 ml-1.5">
      {data.instanceActions.map((a) => (
        <li key={a.request_id} className="relative pl-6 pb-5">
          <span className="absolute -left-[5px] top-2 bg-paper rounded-full"><Dot tone={a.message ? "bad" : "good"} /></span>
          <p className="font-semibold">{actionWord(a.action)}</p>
          {a.message && <p className="text-seokganju">{a.message}</p>}
          <p className="text-[13px] text-ink2 flex flex-wrap gap-x-3">
            <Ago time={a.start_time} />
            {a.updated_at && <span>{t("server.took", { time: duration(Math.max(0, (parse(a.updated_at).getTime() - parse(a.start_time).getTime()) / 1000)) })}</span>}
            <Copy text={a.request_id} mono />
          </p>
        </li>
      ))}
    </ol>
  );
}

function actionWord(action: string): string {
  const key = `server.did.${action}`;
  return known(key) ? t(key as Key) : action;
}
