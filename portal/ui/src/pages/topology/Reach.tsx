import { useState } from "react";
import { ask } from "~/api/http";
import type { Port, Server } from "~/api/types";
import { t } from "~/i18n";
import { told, type Says } from "~/i18n/said";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { ErrorNote } from "~/ui/ErrorNote";
import { Field } from "~/ui/Field";
import { Section } from "~/ui/Page";
import { Dot } from "~/ui/Status";
import { parseService } from "../network/rules";

interface Step extends Says { ok: boolean; what: string; why?: string }
interface Answer { reaches: boolean; steps: Step[] }

/** “Why can A not reach B”: the way of a packet, step by step, and where it ends. */
export function Reach({ ports, servers }: { ports: Port[]; servers: Server[] }) {
  const [from, setFrom] = useState<string | null>(null);
  const [to, setTo] = useState<string | null>(null);
  const [text, setText] = useState("");
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<unknown>(null);
  const options = ports.flatMap((p) => {
    const server = servers.find((s) => s.id === p.device_id);
    return server ? [{ id: p.id, label: server.name, note: p.fixed_ips[0]?.ip_address }] : [];
  });
  // Ports mostly have no names; what people know is whose they are.
  const named = (words: string) => options.reduce((all, o) => all.replaceAll(o.id, o.label), words);
  const service = parseService(text);
  const traffic = service?.protocol ? `&protocol=${service.protocol}${service.from === null ? "" : `&port=${service.from}`}` : "";
  const follow = async () => {
    setError(null);
    setAnswer(null);
    await ask<Answer>(`/hanok/v1/reach?from=${from}&to=${to}${traffic}`).then(setAnswer, setError);
  };
  return (
    <Section title={t("topology.reach")} className="mt-8">
      <p className="text-ink2 mb-3">{t("topology.reachNote")}</p>
      <div className="flex flex-wrap items-end gap-3">
        <Choice label={t("topology.from")} value={from} onChange={setFrom} options={options} placeholder={t("do.choose")} className="w-full sm:w-56" />
        <Choice label={t("topology.to")} value={to} onChange={setTo} options={options} placeholder={t("do.choose")} className="w-full sm:w-56" />
        <Field label={t("groups.service")} value={text} onChange={setText} placeholder="tcp 22" mono className="w-28" />
        <Button look="solid" isDisabled={!from || !to || from === to || (text.trim() !== "" && !service)} onPress={() => void follow()}>{t("topology.ask")}</Button>
      </div>
      {error !== null && <div className="mt-4"><ErrorNote error={error} /></div>}
      {answer && (
        <div role="status" className="box px-5 py-4 mt-4">
          <p className={`font-semibold ${answer.reaches ? "text-noerok" : "text-seokganju"}`}>{answer.reaches ? t("topology.reaches") : t("topology.blocked")}</p>
          <ol className="mt-2 flex flex-col gap-1.5">
            {answer.steps.map((s, i) => <li key={i} className="flex gap-3"><span className="mt-1.5"><Dot tone={s.ok ? "good" : "bad"} /></span><span>{named(told(s, "what"))}{s.why && <span className="block text-ink2">{named(told(s, "why"))}</span>}</span></li>)}
          </ol>
        </div>
      )}
    </Section>
  );
}
