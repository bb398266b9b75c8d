import { useState } from "react";
import { ApiError, ask } from "~/api/http";
import { useAsk } from "~/api/query";
import { known, t, type Key } from "~/i18n";
import { told, type Says } from "~/i18n/said";
import { Button, buttonLook } from "~/ui/Button";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { Icon } from "~/ui/icons";
import { Page, Waiting } from "~/ui/Page";
import { Dot, type Tone } from "~/ui/Status";
import { say } from "~/ui/Toasts";

interface Check extends Says { id: string; name?: string; title?: string; state?: string; status?: string; message?: string; advice?: string; mends?: Mend[] }
interface Mend extends Says { kind: string; of: string; name: string; does: string }
interface Asked { check: Check; mend: Mend }

/** A newer service may know more than these pages: then its own words do. */
const mendWord = (m: Mend) => (known(`doctor.do.${m.kind}`) ? t(`doctor.do.${m.kind}` as Key) : t("doctor.mend"));

const titleOf = (c: Check) => (known(`check.${c.id}`) ? t(`check.${c.id}` as Key) : c.title ?? c.name ?? c.id);

const tone = (state: string): Tone => (state === "ok" ? "good" : state.startsWith("warn") ? "warn" : "bad");

export function Doctor() {
  const { data, error, refetch, isFetching } = useAsk<{ checks: Check[] }>(["doctor"], "/hanok/v1/doctor");
  const [asked, setAsked] = useState<Asked | null>(null);
  const again = <Button isDisabled={isFetching} onPress={() => void refetch()}><Icon name="again" size={14} />{t("doctor.again")}</Button>;
  const bundle = <a href="/hanok/v1/support-bundle" download className={buttonLook("plain")}><Icon name="download" size={14} />{t("doctor.bundle")}</a>;
  const page = (body: React.ReactNode) => <Page title={t("doctor.title")} lead={t("doctor.lead")} actions={<>{!error && bundle}{again}</>}>{body}</Page>;
  if (error instanceof ApiError && error.status === 404) return page(<div className="box"><Empty title={t("doctor.absent")}>{t("doctor.absentNote")}</Empty></div>);
  if (error) return page(<ErrorNote error={error} retry={refetch} />);
  if (!data) return page(<Waiting />);
  const state = (c: Check) => c.state ?? c.status ?? "ok";
  const order = { bad: 0, warn: 1, good: 2, busy: 3, off: 4 };
  const checks = data.checks.toSorted((a, b) => order[tone(state(a))] - order[tone(state(b))]);
  const press = async ({ mend }: Asked) => {
    const answer = await ask<{ mend: { done: boolean } }>("/hanok/v1/doctor/mends", { method: "POST", body: { mend: { kind: mend.kind, of: mend.of } } });
    say(answer.mend.done ? t("doctor.done", { name: mend.name }) : t("doctor.nothing", { name: mend.name }));
    await refetch();
  };
  return page(
    <>
      {checks.every((c) => state(c) === "ok") && <p className="flex items-center gap-3 rounded-[9px] bg-noerok-soft text-noerok px-5 py-3 mb-6"><Icon name="check" /><b className="font-semibold">{t("doctor.well")}</b></p>}
      <ul className="box">
        {checks.map((c) => (
          <li key={c.id} className="flex flex-wrap items-start gap-x-4 gap-y-2 px-5 py-3.5 border-b border-line last:border-0">
            <span className="mt-1.5"><Dot tone={tone(state(c))} /></span>
            <div className="min-w-0 flex-1 basis-64"><p className="font-semibold">{titleOf(c)}</p>{c.message && <p className="text-ink2">{told(c, "message")}</p>}{c.advice && <p>{told(c, "advice")}</p>}</div>
            {c.mends && c.mends.length > 0 && (
              <ul className="basis-full flex flex-col gap-1.5 pl-6">
                {c.mends.map((m) => <li key={m.kind + m.of} className="flex flex-wrap items-center gap-x-4 gap-y-1"><Button small onPress={() => setAsked({ check: c, mend: m })}>{mendWord(m)}</Button><span className="text-[13px] text-ink2 [overflow-wrap:anywhere]">{m.name}</span></li>)}
              </ul>
            )}
          </li>
        ))}
      </ul>
      {asked && (
        <FormDialog title={`${mendWord(asked.mend)}: ${asked.mend.name}`} open onClose={() => setAsked(null)} action={mendWord(asked.mend)} run={() => press(asked)}>
          <p>{told(asked.check, "message")}</p>
          <p className="text-ink2">{told(asked.mend, "does")}</p>
          <p className="label">{t("doctor.audited")}</p>
        </FormDialog>
      )}
    </>,
  );
}
