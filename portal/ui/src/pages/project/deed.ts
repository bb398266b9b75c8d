// Words for the lines of the audit trail.
import type { AuditRow } from "~/api/types";
import { known, t, wordFor, type Key } from "~/i18n";

/** What was done to what, where both have words. */
export function deed(action: string): string | null {
  const [kind = "", verb = ""] = action.split(".");
  const key = [`deed.${verb}`, kind === "server" && `server.did.${verb}`, kind === "machine" && `machines.do.${verb}`].find((k) => k && known(k));
  return key && known(`kind.${kind}`) ? `${wordFor("kind", kind)} · ${t(key as Key).replace(/^[A-Z]/, (c) => c.toLowerCase())}` : null;
}

const PAGES: Record<string, string> = { server: "/servers", network: "/networks", router: "/routers", security_group: "/security-groups" };

/** The page of what something was done to, while it is there. */
export function pageOf({ action, target, target_name }: AuditRow): string | null {
  const [kind = "", verb = ""] = action.split(".");
  const page = PAGES[kind];
  return page && target_name && verb !== "delete" ? `${page}/${target}` : null;
}
