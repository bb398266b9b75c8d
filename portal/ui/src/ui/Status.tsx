import { known, t, type Key } from "~/i18n";

export type Tone = "good" | "busy" | "off" | "bad" | "warn";
const color: Record<Tone, string> = { good: "text-noerok", busy: "text-cheong", off: "text-ink3", bad: "text-seokganju", warn: "text-hwang" };

/** A shape as well as a colour, so that nobody has to tell red from green. */
export function Dot({ tone }: { tone: Tone }) {
  return (
    <svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true" className={`shrink-0 ${color[tone]} ${tone === "busy" ? "breathe" : ""}`}>
      {tone === "good" && <circle cx="5" cy="5" r="4" fill="currentColor" />}
      {tone === "busy" && <path d="M5 1a4 4 0 0 1 0 8z M5 1a4 4 0 1 0 0 8" fill="currentColor" fillOpacity=".35" stroke="currentColor" />}
      {tone === "off" && <circle cx="5" cy="5" r="3.5" fill="none" stroke="currentColor" strokeWidth="1.4" />}
      {tone === "bad" && <path d="M5 .8 9.600 9H.4z" fill="currentColor" />}
      {tone === "warn" && <path d="M5 .8 9.200 5 5 9.200.8 5z" fill="currentColor" />}
    </svg>
  );
}

const tones: Record<string, Tone> = {
  ACTIVE: "good", active: "good", up: "good", enabled: "good", ready: "good", deployed: "good", open: "good", on: "good", ok: "good",
  SHUTOFF: "off", PAUSED: "off", SUSPENDED: "off", SHELVED: "off", SHELVED_OFFLOADED: "off", DOWN: "off", deactivated: "off", off: "off",
  disabled: "off", used: "off", expired: "off", new: "off", released: "off", unknown: "off", retired: "off",
  BUILD: "busy", REBOOT: "busy", HARD_REBOOT: "busy", RESIZE: "busy", MIGRATING: "busy", REBUILD: "busy", saving: "busy", importing: "busy",
  queued: "busy", uploading: "busy", VERIFY_RESIZE: "warn", RESCUE: "warn", PASSWORD: "busy", REVERT_RESIZE: "busy", SOFT_DELETED: "off",
  ERROR: "bad", error: "bad", killed: "bad", down: "bad", failed: "bad", broken: "bad", failing: "bad",
  draining: "warn", warning: "warn", warn: "warn",
};

export function toneOf(state: string): Tone {
  return tones[state] ?? (/fail|error/i.test(state) ? "bad" : /ing(_|$)/.test(state) ? "busy" : "off");
}

/** A state in the reader's words where the catalogue has them, in the service's own where not. */
export function stateWord(state: string): string {
  const key = `state.${state}`;
  return known(key) ? t(key as Key) : state;
}

/** Networks, ports and addresses are up or down; “running” is a word for servers. */
export const netState = (status: string) => (status === "ACTIVE" ? "up" : status);

export function Status({ state, note }: { state: string; note?: string | null }) {
  return (
    <span className="inline-flex items-center gap-2 min-w-0">
      <Dot tone={toneOf(state)} />
      <span className="truncate">{stateWord(state)}{note ? <span className="text-ink3"> · {note}</span> : null}</span>
    </span>
  );
}
