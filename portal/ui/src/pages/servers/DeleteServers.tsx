import { t } from "~/i18n";
import type { Server } from "~/api/types";
import { Confirm, doomed } from "~/ui/Confirm";

export function DeleteServers({ servers, onClose, run }: { servers: Server[]; onClose: () => void; run: () => Promise<unknown> }) {
  if (servers.length === 0) return null;
  const asked = doomed(servers.map((s) => s.name), (name) => t("server.deleteAsk", { name }), (n) => t("servers.deleteAsk", { n }));
  return <Confirm of={{ ...asked, note: t("server.deleteNote"), action: t("server.do.delete"), run }} onClose={onClose} />;
}
