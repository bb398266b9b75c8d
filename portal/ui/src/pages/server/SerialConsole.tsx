import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { useEffect, useRef } from "react";
import { t } from "~/i18n";
import { adopting, declareStyles } from "~/ui/adopted";
import { ticket, type Ended } from "./Consoles";

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
    let gone = false;
    ticket(server, "serial").then((url) => {
      if (gone) return;
      socket = new WebSocket(url);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => terminal.writeln(`\x1b[2m${t("console.connected")}\x1b[0m`);
      socket.onmessage = (event) => terminal.write(typeof event.data === "string" ? event.data : new Uint8Array(event.data as ArrayBuffer));
      socket.onclose = () => !gone && onEnd(null);
    }, (error) => !gone && onEnd(error));
    const encoder = new TextEncoder();
    const typed = terminal.onData((data) => socket?.readyState === WebSocket.OPEN && socket.send(encoder.encode(data)));
    return () => {
      gone = true;
      typed.dispose();
      watch.disconnect();
      socket?.close();
      terminal.dispose();
    };
  }, [server, onEnd]);
  return <div ref={place} className="h-full" />;
}
