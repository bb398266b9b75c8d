// What can be asked of a machine, by the state that it is in, and how the board groups the states.
import { ask } from "~/api/http";
import type { Machine } from "~/api/types";
import { t, type Key } from "~/i18n";

export const board = {
  arriving: ["new", "commissioning", "testing"],
  ready: ["ready", "reserved"],
  taken: ["allocated", "deploying", "deployed", "rescue_mode", "entering_rescue_mode", "exiting_rescue_mode"],
  leaving: ["releasing", "disk_erasing", "retired"],
  ill: [] as string[],
} as const;
export type Group = keyof typeof board;

/** Whatever failed, is broken or has a name that this page does not know needs a hand. */
export function groupOf(m: Machine): Group {
  const found = (Object.keys(board) as Group[]).find((g) => (board[g] as readonly string[]).includes(m.status));
  return found ?? "ill";
}

const byStatus: Record<string, string[]> = {
  new: ["approve", "commission", "mark-broken"], commissioning: ["abort"], testing: ["abort"],
  ready: ["allocate", "commission", "test", "mark-broken"], allocated: ["deploy", "release", "rescue", "mark-broken"], deploying: ["abort"],
  deployed: ["release", "rescue", "mark-broken"], releasing: ["abort"], disk_erasing: ["abort"], rescue_mode: ["exit-rescue"],
  broken: ["mark-fixed", "commission", "release"], failed_testing: ["retry", "override-failed-testing", "commission", "mark-broken"],
  failed_deployment: ["retry", "release", "mark-broken"], missing: ["commission"],
};

/** The verbs that are offered, the likely one first. What asks a question has a dialog of its own. */
export function verbsFor(m: Machine): string[] {
  const power = m.power === "on" ? ["power-off", "power-cycle"] : ["power-on"];
  const by = byStatus[m.status] ?? (/^failed/.test(m.status) ? ["retry", "mark-broken"] : []);
  return [...(m.to_do ? ["done"] : []), ...by, ...power, m.locked ? "unlock" : "lock"];
}
export const asks = (verb: string) => ["approve", "deploy", "release"].includes(verb);
/** Whoever works on the machine would lose something: these are asked for twice. */
export const confirms = (verb: string): verb is "power-off" | "power-cycle" | "abort" | "rescue" => ["power-off", "power-cycle", "abort", "rescue"].includes(verb);
export const verbWord = (verb: string) => t(`machines.do.${verb}` as Key);

export const actOn = (id: string, verb: string, body: unknown = {}) => ask<unknown>(`/hanok/v1/machines/${id}/${verb}`, { method: "POST", body });
