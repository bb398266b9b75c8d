// What can be asked of a server, and in which states it makes sense to offer it.
import { t, type Key } from "~/i18n";
import type { IconName } from "~/ui/icons";
import { ask } from "./http";
import type { Server } from "./types";

export type ActionId = "start" | "stop" | "reboot" | "hardReboot" | "pause" | "unpause" | "suspend" | "resume" | "shelve" | "unshelve"
  | "resize" | "confirmResize" | "revertResize" | "rebuild" | "rescue" | "unrescue" | "snapshot" | "lock" | "unlock" | "rename" | "delete";

export interface ServerAction {
  id: ActionId;
  icon: IconName;
  /** Statuses in which it is offered; none means all. */
  when?: string[];
  body?: Record<string, unknown>;
  /** It needs an answer from the user first: a name, a size, or that they mean it. */
  asks?: boolean;
  danger?: boolean;
}

export const serverActions: ServerAction[] = [
  { id: "start", icon: "play", when: ["SHUTOFF"], body: { "os-start": null } },
  { id: "stop", icon: "stop", when: ["ACTIVE", "ERROR"], body: { "os-stop": null } },
  { id: "reboot", icon: "again", when: ["ACTIVE"], body: { reboot: { type: "SOFT" } } },
  { id: "hardReboot", icon: "again", when: ["ACTIVE", "SHUTOFF", "ERROR", "PAUSED", "SUSPENDED"], body: { reboot: { type: "HARD" } } },
  { id: "confirmResize", icon: "check", when: ["VERIFY_RESIZE"], body: { confirmResize: null } },
  { id: "revertResize", icon: "left", when: ["VERIFY_RESIZE"], body: { revertResize: null } },
  { id: "pause", icon: "stop", when: ["ACTIVE"], body: { pause: null } },
  { id: "unpause", icon: "play", when: ["PAUSED"], body: { unpause: null } },
  { id: "suspend", icon: "stop", when: ["ACTIVE"], body: { suspend: null } },
  { id: "resume", icon: "play", when: ["SUSPENDED"], body: { resume: null } },
  { id: "unshelve", icon: "play", when: ["SHELVED", "SHELVED_OFFLOADED"], body: { unshelve: null } },
  { id: "unrescue", icon: "left", when: ["RESCUE"], body: { unrescue: null } },
  { id: "snapshot", icon: "camera", when: ["ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED"], asks: true },
  { id: "resize", icon: "flavor", when: ["ACTIVE", "SHUTOFF"], asks: true },
  { id: "shelve", icon: "download", when: ["ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED"], body: { shelve: null } },
  { id: "rescue", icon: "doctor", when: ["ACTIVE", "SHUTOFF", "ERROR"], body: { rescue: null } },
  { id: "rebuild", icon: "again", when: ["ACTIVE", "SHUTOFF", "ERROR"], asks: true },
  { id: "lock", icon: "access", body: { lock: null } },
  { id: "unlock", icon: "access", body: { unlock: null } },
  { id: "rename", icon: "flavor", asks: true },
  { id: "delete", icon: "trash", asks: true, danger: true },
];

export const wordOf = (action: ServerAction): string => t(`server.do.${action.id}` as Key);

export function allowed(server: Server): ServerAction[] {
  const busy = server["OS-EXT-STS:task_state"] !== null;
  return serverActions.filter((a) => {
    if (a.id === "lock") return !server.locked;
    if (a.id === "unlock") return server.locked;
    if (a.id === "delete" || a.id === "rename") return true;
    return !busy && (!a.when || a.when.includes(server.status));
  });
}

export const act = (id: string, body: Record<string, unknown>) =>
  ask<unknown>(`/compute/v2.1/servers/${id}/action`, { method: "POST", body });

export function runAction(action: ServerAction, id: string): Promise<unknown> {
  return action.body ? act(id, action.body) : Promise.reject(new Error(`${action.id} asks first`));
}

export const removeServer = (id: string) => ask<void>(`/compute/v2.1/servers/${id}`, { method: "DELETE" });
export const renameServer = (id: string, name: string) =>
  ask<unknown>(`/compute/v2.1/servers/${id}`, { method: "PUT", body: { server: { name } } });
