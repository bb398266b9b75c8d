import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { act } from "~/api/serverActions";
import type { Server } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { ErrorNote } from "~/ui/ErrorNote";
import { Icon } from "~/ui/icons";
import { Waiting } from "~/ui/Page";

const LINES = 2000;
/** Colours and cursor moves are for terminals; here only the words count. */
const ESCAPES = /\u001b\[[0-9;?]*[A-Za-z]|\u001b[()][A-Z0-9]|\r/g;

export function Log({ server }: { server: Server }) {
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: ["console-log", server.id],
    queryFn: () => act(server.id, { "os-getConsoleOutput": { length: LINES } }) as Promise<{ output: string }>,
    staleTime: 0,
  });
  const end = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (end.current) end.current.scrollTop = end.current.scrollHeight;
  }, [data]);
  if (error) return <ErrorNote error={error} retry={refetch} />;
  if (!data) return <Waiting />;
  const text = data.output.replace(ESCAPES, "");
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.download = `${server.name}.log`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return (
    <div>
      <div className="flex justify-between items-center gap-3 mb-2">
        <p className="text-ink2">{t("server.logNote")}</p>
        <div className="flex gap-2">
          <Button small isDisabled={isFetching} onPress={() => void refetch()}><Icon name="again" size={14} />{t("do.again")}</Button>
          <Button small onPress={save}><Icon name="download" size={14} />{t("do.download")}</Button>
        </div>
      </div>
      <pre ref={end} tabIndex={0} aria-label={t("server.log")} className="box !bg-sunk font-mono text-[12px] leading-[1.5] p-4 overflow-auto max-h-[62vh] whitespace-pre-wrap">{text || t("server.logEmpty")}</pre>
    </div>
  );
}
