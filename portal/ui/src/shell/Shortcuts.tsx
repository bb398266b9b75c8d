import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { useSession } from "~/api/session";
import { t, type Key } from "~/i18n";
import { Dialog } from "~/ui/Dialog";
import { typing } from "~/ui/typing";
import { placesFor } from "./places";
import { mod } from "./TopBar";

/** How long after g its letter may come. */
const PAIR_MS = 1200;

export function useShortcuts(admin: boolean, palette: (open: boolean) => void, help: (open: boolean) => void) {
  const navigate = useNavigate();
  useEffect(() => {
    let pair = 0;
    const key = (event: KeyboardEvent) => {
      if (event.isComposing) return;
      if ((event.metaKey || event.ctrlKey) && event.code === "KeyK") {
        event.preventDefault();
        return palette(true);
      }
      const target = event.target as Element;
      if (event.metaKey || event.ctrlKey || event.altKey || typing(target) || target.closest?.("[role=dialog],[role=menu],[role=listbox],.terminal")) return;
      // By the place of the key, so that it works with the Korean layout on as well.
      const letter = event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : event.key;
      if (Date.now() - pair < PAIR_MS) {
        pair = 0;
        const place = placesFor(admin).find((p) => p.jump === letter);
        if (place) {
          event.preventDefault();
          void navigate({ to: place.to });
        }
        return;
      }
      if (letter === "g" && !event.shiftKey) pair = Date.now();
      else if (letter === "c" && !event.shiftKey) void navigate({ to: "/servers/new" });
      else if (event.key === "?") help(true);
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [admin, palette, help, navigate]);
}

const keys: [string, Key][] = [
  [`${mod}K`, "help.palette"], ["c", "help.create"], ["/", "help.filter"], ["j k ↑ ↓", "help.move"], ["Enter", "help.openRow"],
  ["x", "help.select"], ["Esc", "help.close"], ["?", "help.this"],
];

export function Help({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { admin } = useSession();
  const row = (k: string, text: string) => (
    <li key={k + text} className="flex items-center justify-between gap-4 py-1"><span>{text}</span><kbd className="key">{k}</kbd></li>
  );
  return (
    <Dialog title={t("help.title")} open={open} onClose={onClose} wide>
      <div className="grid sm:grid-cols-2 gap-x-10 gap-y-4">
        <ul>{keys.map(([k, text]) => row(k, t(text)))}</ul>
        <ul>{placesFor(admin).filter((p) => p.jump).map((p) => row(`g ${p.jump}`, t(p.key)))}</ul>
      </div>
      <p className="mt-5"><a href="/licences.txt" target="_blank" rel="noreferrer" className="link text-[13px]">{t("help.licences")}</a></p>
    </Dialog>
  );
}
