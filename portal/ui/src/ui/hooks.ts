import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";

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

/** The time, for words like “3 minutes ago”; nothing is asked of a service. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
