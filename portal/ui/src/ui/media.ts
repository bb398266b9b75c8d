import { useSyncExternalStore } from "react";

function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (tell) => {
      const media = matchMedia(query);
      media.addEventListener("change", tell);
      return () => media.removeEventListener("change", tell);
    },
    () => matchMedia(query).matches,
  );
}

export const useNarrow = () => useMedia("(max-width: 699px)");

export function useWindowWidth(): number {
  return useSyncExternalStore(
    (tell) => {
      addEventListener("resize", tell);
      return () => removeEventListener("resize", tell);
    },
    () => Math.round(innerWidth / 20) * 20,
  );
}
