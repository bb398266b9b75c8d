import { useState } from "react";
import { allowed, runAction, wordOf, type ActionId } from "~/api/serverActions";
import type { Server } from "~/api/types";
import { t } from "~/i18n";
import { Menu } from "~/ui/Menu";
import { say, sayError } from "~/ui/Toasts";
import { ServerDialog } from "./ServerDialog";

/** Everything that can be asked of a server now; what needs an answer first opens its dialog. */
export function ServerMenu({ server, className, onDeleted, ask, onAnswered }: { server: Server; className?: string; onDeleted?: () => void; ask?: string; onAnswered?: () => void }) {
  const [asking, setAsking] = useState<ActionId | null>(allowed(server).find((a) => a.asks && a.id === ask)?.id ?? null);
  const acts = allowed(server).map((a) => ({
    id: a.id, label: wordOf(a), icon: a.icon, danger: a.danger,
    run: () => a.asks
      ? setAsking(a.id)
      : void runAction(a, server.id).then(() => say(t("server.asked", { what: wordOf(a), name: server.name })), sayError),
  }));
  return (
    <>
      <Menu acts={acts} label={t("server.menu", { name: server.name })} className={className} />
      {asking && <ServerDialog asking={asking} server={server} onClose={() => (setAsking(null), onAnswered?.())} onDeleted={onDeleted} />}
    </>
  );
}
