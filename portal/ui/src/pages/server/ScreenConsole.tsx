import RFB from "@novnc/novnc";
import { useEffect, useRef } from "react";
import { ticket, type Ended } from "./Consoles";

export default function ScreenConsole({ server, onEnd }: { server: string; onEnd: Ended }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let screen: RFB | null = null;
    let gone = false;
    ticket(server, "screen").then((url) => {
      if (gone || !place.current) return;
      screen = new RFB(place.current, url, {});
      screen.scaleViewport = true;
      screen.background = "#14191c";
      screen.addEventListener("disconnect", () => !gone && onEnd(null));
      screen.addEventListener("connect", () => screen?.focus());
    }, (error) => !gone && onEnd(error));
    return () => {
      gone = true;
      screen?.disconnect();
    };
  }, [server, onEnd]);
  return <div ref={place} className="h-full" />;
}
