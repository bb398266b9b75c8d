import { Suspense, useRef, useState } from "react";
import { ApiError, ask } from "~/api/http";
import type { Server } from "~/api/types";
import { t } from "~/i18n";
import { again as patiently } from "~/ui/arrive";
import { Boundary } from "~/ui/Boundary";
import { Button } from "~/ui/Button";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { useWord } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Waiting } from "~/ui/Page";
import { part } from "~/ui/part";
import { sayError } from "~/ui/Toasts";

const Serial = part(() => import("./SerialConsole"));
const Screen = part(() => import("./ScreenConsole"));

export type Ended = (why: unknown) => void;
type Kind = "serial" | "screen";

/** The address of a console, good for one use. Whatever name the service knows itself by, the page's own leads there. */
export async function ticket(server: string, kind: Kind): Promise<string> {
  const body = { kind: kind === "serial" ? "serial" : "vnc" };
  const made = () => ask<{ url: string }>(`/hanok/v1/servers/${server}/console`, { method: "POST", body });
  const answer = await patiently(made, (error) => error instanceof ApiError && error.lost);
  const url = new URL(answer.url);
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${url.pathname}${url.search}`;
}

export function Consoles({ server }: { server: Server }) {
  const [kind, setKind] = useWord("console", "serial") as [Kind, (kind: string) => void];
  const [run, setRun] = useState(0);
  const [ended, setEnded] = useState<unknown>(undefined);
  const frame = useRef<HTMLDivElement>(null);
  if (server.status !== "ACTIVE" && server.status !== "RESCUE") return <Empty title={t("console.off")}>{t("console.offNote")}</Empty>;
  const again = () => {
    setEnded(undefined);
    setRun(run + 1);
  };
  const pick = (next: Kind) => {
    setEnded(undefined);
    setKind(next);
  };
  const Shown = kind === "screen" ? Screen : Serial;
  return (
    <div>
      <div className="flex flex-wrap items-center gap-2 mb-3">
        <div role="group" aria-label={t("server.console")} className="flex gap-1">
          <Button small look={kind === "serial" ? "solid" : "plain"} aria-pressed={kind === "serial"} onPress={() => pick("serial")}><Icon name="terminal" size={14} />{t("console.serial")}</Button>
          <Button small look={kind === "screen" ? "solid" : "plain"} aria-pressed={kind === "screen"} onPress={() => pick("screen")}><Icon name="screen" size={14} />{t("console.screen")}</Button>
        </div>
        <span className="label flex-1">{kind === "serial" ? t("console.serialNote") : t("console.screenNote")}</span>
        <Button small onPress={again}><Icon name="again" size={14} />{t("console.again")}</Button>
        <Button small onPress={() => frame.current?.requestFullscreen().catch(sayError)}>{t("console.full")}</Button>
      </div>
      {ended !== undefined && (
        <div className="mb-3">{ended ? <ErrorNote error={ended} retry={again} /> : (
          <p role="status" className="flex items-center justify-between gap-3 rounded-[8px] bg-hwang-soft text-hwang px-4 py-2">{t("console.ended")}<Button small onPress={again}>{t("console.again")}</Button></p>
        )}</div>
      )}
      <div ref={frame} className="terminal rounded-[10px] overflow-hidden bg-[#14191c] h-[min(64vh,620px)] p-3">
        <Boundary key={`${kind}${run}`}><Suspense fallback={<Waiting />}><Shown server={server.id} onEnd={setEnded} /></Suspense></Boundary>
      </div>
    </div>
  );
}
