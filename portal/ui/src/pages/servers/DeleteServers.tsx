import { t } from "~/i18n";
import type { Server } from "~/api/types";
import { FormDialog } from "~/ui/Dialog";

export function DeleteServers({ servers, onClose, run }: { servers: Server[]; onClose: () => void; run: () => Promise<unknown> }) {
  const n = servers.length;
  return (
    <FormDialog title={n === 1 ? t("server.deleteAsk", { name: servers[0]!.name }) : t("servers.deleteAsk", { n })} open={n > 0} onClose={onClose}
      action={t("server.do.delete")} danger run={run}>
      <p className="text-ink2">{t("server.deleteNote")}</p>
      {n > 1 && (
        <ul className="max-h-40 overflow-auto box px-3 py-2">{servers.map((s) => <li key={s.id}>{s.name}</li>)}</ul>
      )}
    </FormDialog>
  );
}
