import { useSyncExternalStore, type ReactNode } from "react";
import { Button } from "react-aria-components";
import { t } from "~/i18n";
import { ErrorNote } from "./ErrorNote";
import { Icon } from "./icons";

interface Toast { id: number; body: ReactNode; bad: boolean }
let toasts: Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();
const set = (list: Toast[]) => {
  toasts = list;
  listeners.forEach((tell) => tell());
};
const drop = (id: number) => set(toasts.filter((x) => x.id !== id));

/** Good news goes by itself; an error stays until it is read. */
export function say(body: ReactNode) {
  const id = next++;
  set([...toasts, { id, body, bad: false }].slice(-4));
  setTimeout(() => drop(id), 4000);
}
export function sayError(error: unknown) {
  set([...toasts, { id: next++, body: <ErrorNote error={error} />, bad: true }].slice(-4));
}

export function Toasts() {
  const list = useSyncExternalStore((tell) => (listeners.add(tell), () => listeners.delete(tell)), () => toasts);
  return (
    <div aria-live="polite" className="fixed z-50 bottom-4 right-4 left-4 sm:left-auto flex flex-col gap-2 sm:w-[400px] pointer-events-none">
      {list.map((x) => (
        <div key={x.id} className="rise pointer-events-auto relative box shadow-high rounded-[9px]">
          {x.bad ? x.body : <div className="px-4 py-3 pr-10">{x.body}</div>}
          <Button aria-label={t("do.close")} onPress={() => drop(x.id)} className="absolute right-2 top-2 p-1 rounded text-ink3 hover:text-ink">
            <Icon name="close" size={14} />
          </Button>
        </div>
      ))}
    </div>
  );
}
