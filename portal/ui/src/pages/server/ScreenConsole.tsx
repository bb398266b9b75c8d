import RFB from "@novnc/novnc";
import { useEffect, useRef } from "react";
import { ticket, type Ended } from "./Consoles";
import { keep } from "./keep";

export default function ScreenConsole({ server, onEnd }: { server: string; onEnd: Ended }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    return keep(async ({ live, ended }) => {
      const url = await ticket(server, "screen");
      const screen = new RFB(place.current!, url, {});
      screen.scaleViewport = true;
      screen.background = "#14191c";
      let over = false;
      screen.addEventListener("disconnect", () => over || ended(false));
      screen.addEventListener("connect", () => {
        live();
        screen.focus();
      });
      return () => {
        over = true;
        screen.disconnect();
      };
    }, onEnd);
  }, [server, onEnd]);
  return <div ref={place} className="h-full" />;
}
