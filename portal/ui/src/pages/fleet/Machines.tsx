import { ApiError, ask } from "~/api/http";
import { useChange, useList } from "~/api/query";
import type { Machine } from "~/api/types";
import { t, type Key } from "~/i18n";
import { bytes, mib } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Button } from "~/ui/Button";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { Menu } from "~/ui/Menu";
import { Page, Waiting } from "~/ui/Page";
import { Dot, stateWord, toneOf } from "~/ui/Status";
import { sayError } from "~/ui/Toasts";

/** The columns of the board, in the order of a machine's life; what fits none comes last under its own name. */
const board: string[][] = [["new"], ["commissioning", "testing"], ["ready"], ["allocated", "deploying"], ["deployed"], ["releasing", "disk_erasing"], ["failed", "broken"]];
const verbs: Record<string, string[]> = {
  new: ["approve", "commission"], commissioning: ["abort"], testing: ["abort"], ready: ["allocate", "deploy", "commission"], allocated: ["deploy", "release"],
  deploying: ["abort"], deployed: ["release"], releasing: ["abort"], failed: ["commission", "release"], broken: ["commission"],
};

export function Machines() {
  const { data, error, refetch } = useList("machine");
  const act = useChange(({ id, verb }: { id: string; verb: string }) => ask(`/hanok/v1/machines/${id}/${verb}`, { method: "POST", body: {} }), ["machine"]);
  const page = (body: React.ReactNode) => <Page title={t("machines.title")} lead={t("machines.lead")}>{body}</Page>;
  if (error instanceof ApiError && error.status === 404) return page(<div className="box"><Empty title={t("machines.absent")}>{t("machines.absentNote")}</Empty></div>);
  if (error) return page(<ErrorNote error={error} retry={refetch} />);
  if (!data) return page(<Waiting />);
  if (data.length === 0) return page(<div className="box"><Empty title={t("machines.empty")}>{t("machines.emptyNote")}</Empty></div>);
  const others = [...new Set(data.map((m) => m.state))].filter((s) => !board.flat().includes(s)).map((s) => [s]);
  return page(
    <div className="flex gap-4 overflow-x-auto pb-4 -mx-4 px-4 snap-x">
      {[...board, ...others].map((states) => {
        const here = data.filter((m) => states.includes(m.state));
        return (
          <section key={states[0]} aria-label={stateWord(states[0]!)} className="w-[260px] shrink-0 snap-start">
            <h2 className="flex items-center gap-2 mb-2 font-semibold"><Dot tone={toneOf(states[0]!)} />{stateWord(states[0]!)}<span className="label ml-auto">{here.length}</span></h2>
            <ul className="flex flex-col gap-2.5 rounded-[10px] bg-sunk p-2 min-h-24">
              {here.map((m) => <MachineCard key={m.id} m={m} onAct={(verb) => act.mutate({ id: m.id, verb }, { onError: sayError })} />)}
            </ul>
          </section>
        );
      })}
    </div>,
  );
}

function MachineCard({ m, onAct }: { m: Machine; onAct: (verb: string) => void }) {
  const [first, ...rest] = verbs[m.state] ?? [];
  const word = (verb: string) => t(`machines.do.${verb}` as Key);
  const disk = m.disks?.reduce((n, d) => n + d.size, 0);
  return (
    <li className="rise box px-4 py-3">
      <div className="flex items-center justify-between gap-2">
        <b className="font-semibold truncate">{m.name}</b>
        <Menu label={m.name} acts={[...rest, m.power === "on" ? "power_off" : "power_on"].map((verb) => ({ id: verb, label: word(verb), run: () => onAct(verb) }))} />
      </div>
      <p className="label">{[m.cpu_count && t("word.vcpus", { n: m.cpu_count }), m.memory_mib && mib(m.memory_mib), disk && bytes(disk)].filter(Boolean).join(" · ")}</p>
      {m.state_reason && <p className="text-[13px] text-ink2 mt-1 [overflow-wrap:anywhere]">{m.state_reason}</p>}
      <div className="flex items-center justify-between gap-2 mt-2">
        <span className="label"><Ago time={m.since} />{m.power && <> · {t("machines.power")} {stateWord(m.power)}</>}</span>
        {first && <Button small onPress={() => onAct(first)}>{word(first)}</Button>}
      </div>
    </li>
  );
}
