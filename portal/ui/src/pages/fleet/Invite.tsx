import { useState } from "react";
import { ask } from "~/api/http";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { CodeBlock } from "~/ui/Copy";
import { Dialog } from "~/ui/Dialog";
import { ErrorNote } from "~/ui/ErrorNote";
import { isLoopback, region } from "./where";

const KINDS = {
  host: { noun: "join", verb: "agent", title: "hosts.add", note: "hosts.addNote" },
  rack: { noun: "rack", verb: "rack", title: "racks.add", note: "racks.addNote" },
} as const;

/** The line that makes another computer a host or a rack controller. */
export function Invite({ kind, onClose }: { kind: keyof typeof KINDS; onClose: () => void }) {
  const { noun, verb, title, note } = KINDS[kind];
  const [line, setLine] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const make = () => ask<Record<string, { token: string }>>(`/hanok/v1/${noun}-tokens`, { method: "POST", body: { [`${noun}_token`]: {} } })
    .then((made) => setLine(`hanok ${verb} --join ${made[`${noun}_token`]!.token}@${region(location)}`), setError);
  return (
    <Dialog title={t(title)} open onClose={onClose} wide>
      <p className="text-ink2 mb-4">{t(note)}</p>
      {isLoopback(location) && <p className="rounded-[8px] bg-hwang-soft text-hwang px-4 py-2 mb-4">{t("hosts.loopback")}</p>}
      {error !== null && <ErrorNote error={error} />}
      {line ? <CodeBlock text={line} label={t(title)} /> : <Button look="solid" onPress={() => void make()}>{t("hosts.invite")}</Button>}
      <div className="flex justify-end mt-4"><Button onPress={onClose}>{t("do.close")}</Button></div>
    </Dialog>
  );
}
