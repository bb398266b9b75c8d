import type { ReactNode } from "react";
import { t } from "~/i18n";
import { FormDialog } from "./Dialog";

/** What somebody is about to do that cannot be taken back. */
export interface Doom {
  /** The question, with the name where it is one thing. */
  title: string;
  /** What is lost with it, and what stays. */
  note: string;
  /** Everything that goes, where it is more than what the title names. */
  names?: string[];
  /** The verb; otherwise it is deletion. */
  action?: string;
  run: () => Promise<unknown>;
}

/** Asks before something is lost, and names it. Escape and the first button leave everything as it is. */
export function Confirm({ of, onClose, children }: { of: Doom | null; onClose: () => void; children?: ReactNode }) {
  if (!of) return null;
  return (
    <FormDialog title={of.title} open onClose={onClose} action={of.action ?? t("do.delete")} danger run={of.run}>
      <p className="text-ink2">{of.note}</p>
      {of.names && of.names.length > 0 && (
        <ul tabIndex={of.names.length > 6 ? 0 : undefined} aria-label={t("confirm.these")} className="max-h-48 overflow-auto box !bg-sunk px-3.5 py-2 [overflow-wrap:anywhere]">
          {of.names.map((name, i) => <li key={`${i} ${name}`} className="py-0.5 font-semibold">{name}</li>)}
        </ul>
      )}
      {children}
    </FormDialog>
  );
}

/** One thing is named in the question, several in a list. */
export const doomed = (names: string[], one: (name: string) => string, many: (n: number) => string): Pick<Doom, "title" | "names"> =>
  names.length === 1 ? { title: one(names[0]!) } : { title: many(names.length), names };
