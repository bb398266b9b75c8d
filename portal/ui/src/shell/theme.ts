// Light, dark, or as the system says.
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";
const STORED = "hanok.theme";
const media = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();
let theme = (localStorage.getItem(STORED) as Theme | null) ?? "system";

function apply() {
  document.documentElement.dataset.theme = theme === "system" ? (media.matches ? "dark" : "light") : theme;
}
export function setTheme(next: Theme) {
  theme = next;
  localStorage.setItem(STORED, next);
  apply();
  listeners.forEach((tell) => tell());
}
export function useTheme(): Theme {
  return useSyncExternalStore((tell) => (listeners.add(tell), () => listeners.delete(tell)), () => theme);
}
export const isDark = () => document.documentElement.dataset.theme === "dark";

media.addEventListener("change", apply);
apply();
