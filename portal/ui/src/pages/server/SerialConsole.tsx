import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { useEffect, useRef } from "react";
import { t } from "~/i18n";
import { adopting, declareStyles } from "~/ui/adopted";
import { ticket, type Ended } from "./Consoles";
import { keep } from "./keep";

// Cells in colours of their own are spans with a style.
declareStyles();

/** Keys go out as UTF-8; the terminal's own input field composes Korean syllables before it sends them. */
export default function SerialConsole({ server, onEnd }: { server: string; onEnd: Ended }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const terminal = new Terminal({
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--font-mono") || "monospace",
      fontSize: 13, lineHeight: 1.25, cursorBlink: true, scrollback: 5000, screenReaderMode: false,
      theme: { background: "#14191c", foreground: "#e6e1d6", cursor: "#d9765a", selectionBackground: "#3a5265", green: "#7cc3a2", red: "#ee8f74", blue: "#8db9e6", yellow: "#dcb25c" },
    });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    adopting(() => terminal.open(place.current!));
    fit.fit();
    terminal.focus();
    const watch = new ResizeObserver(() => fit.fit());
    watch.observe(place.current!);
    let socket: WebSocket | null = null;
    const note = (words: string) => terminal.writeln(`\x1b[2m${words}\x1b[0m`);
    const stop = keep(async ({ live, ended }) => {
      const line = socket = new WebSocket(await ticket(server, "serial"));
      line.binaryType = "arraybuffer";
      let opened = false;
      line.onopen = () => {
        opened = true;
        live();
        note(t("console.connected"));
      };
      line.onmessage = (event) => terminal.write(typeof event.data === "string" ? event.data : new Uint8Array(event.data as ArrayBuffer));
      line.onclose = (event) => {
        // 1001 and 1012 say that whoever relays it goes away or starts again.
        const meant = event.wasClean && ![1001, 1012].includes(event.code);
        if (opened && !meant) note(`\r\n${t("console.lost")}`);
        ended(meant);
      };
      return () => {
        line.onclose = null;
        line.close();
      };
    }, onEnd);
    const encoder = new TextEncoder();
    const typed = terminal.onData((data) => socket?.readyState === WebSocket.OPEN && socket.send(encoder.encode(data)));
    return () => {
      stop();
      typed.dispose();
      watch.disconnect();
      terminal.dispose();
    };
  }, [server, onEnd]);
  return <div ref={place} className="h-full" />;
}
