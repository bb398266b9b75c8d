import { useNavigate, useSearch } from "@tanstack/react-router";
import { useSyncExternalStore } from "react";

/** A word in the address, such as ?tab=log: shared by copying, kept by going back. */
export function useWord(name: string, otherwise: string): [string, (value: string) => void] {
  const search = useSearch({ strict: false }) as Record<string, unknown>;
  const navigate = useNavigate();
  const value = search[name] === undefined ? otherwise : String(search[name]);
  return [value, (next) => void navigate({
    to: ".", replace: true,
    search: ((was: Record<string, unknown>) => ({ ...was, [name]: next === otherwise ? undefined : next })) as never,
  })];
}

/** A dialog that an address can open: ?new=1. */
export function useOpen(name: string): [boolean, (open: boolean) => void] {
  const [value, set] = useWord(name, "");
  return [value !== "", (open) => set(open ? "1" : "")];
}

const clocks = new Map<number, { now: number; ears: Set<() => void>; timer: number }>();

/** The time, for words like “3 minutes ago”; nothing is asked of a service. All who want the same beat share a clock. */
export function useNow(everyMs = 1000): number {
  return useSyncExternalStore((tell) => {
    const clock = clocks.get(everyMs)!;
    if (clock.ears.size === 0) {
      clock.timer = window.setInterval(() => {
        clock.now = Date.now();
        clock.ears.forEach((ear) => ear());
      }, everyMs);
    }
    clock.ears.add(tell);
    return () => {
      clock.ears.delete(tell);
      if (clock.ears.size === 0) clearInterval(clock.timer);
    };
  }, () => {
    const clock = clocks.get(everyMs) ?? { now: Date.now(), ears: new Set(), timer: 0 };
    clocks.set(everyMs, clock);
    // A clock that stood still while nobody looked is set again.
    if (clock.ears.size === 0 && Date.now() - clock.now > everyMs) clock.now = Date.now();
    return clock.now;
  });
}
