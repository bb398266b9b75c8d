import { Link } from "@tanstack/react-router";
import { ApiError } from "~/api/http";
import { useList } from "~/api/query";
import type { Machine } from "~/api/types";
import { t } from "~/i18n";
import { told } from "~/i18n/said";
import { bytes, mib } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Empty } from "~/ui/Empty";
import { Button, buttonLook } from "~/ui/Button";
import { ErrorNote } from "~/ui/ErrorNote";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page, Waiting } from "~/ui/Page";
import { Status, stateWord } from "~/ui/Status";
import { AddMachine } from "./AddMachine";
import { MachineActions } from "./MachineActions";
import { board, groupOf, type Group } from "./machines";

/** The board fills by itself as computers start over the network, and cards move as machines go through their life. */
export function Machines() {
  const { data, error, refetch } = useList("machine");
  const [open, setOpen] = useOpen("new");
  const add = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("machines.add")}</Button>;
  const page = (body: React.ReactNode) => <Page title={t("machines.title")} lead={t("machines.lead")} actions={data?.length === 0 ? null : add}>{body}{open && <AddMachine onClose={() => setOpen(false)} />}</Page>;
  if (error instanceof ApiError && error.status === 404) return page(<div className="box"><Empty title={t("machines.absent")}>{t("machines.absentNote")}</Empty></div>);
  if (error) return page(<ErrorNote error={error} retry={refetch} />);
  if (!data) return page(<Waiting />);
  if (data.length === 0) return page(<div className="box"><Empty title={t("machines.empty")} action={<>{add}<Link to="/fleet/racks" className={buttonLook("plain")}>{t("racks.title")}</Link></>}>{t("machines.emptyNote")}</Empty></div>);
  return page(
    <div className="flex gap-3 overflow-x-auto pb-4 -mx-4 px-4 scroll-px-4 snap-x" tabIndex={0} role="group" aria-label={t("machines.title")}>
      {(Object.keys(board) as Group[]).map((group) => {
        const here = data.filter((m) => groupOf(m) === group).sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
        return (
          <section key={group} aria-label={t(`machines.group.${group}`)} className="min-w-[228px] sm:min-w-[200px] flex-1 snap-start">
            <h2 className="flex items-center gap-2 mb-2 font-semibold">{t(`machines.group.${group}`)}<span className="label">{here.length}</span></h2>
            <ul className="flex flex-col gap-2 rounded-[10px] bg-sunk p-2 min-h-24">{here.map((m) => <MachineCard key={m.id} m={m} />)}</ul>
          </section>
        );
      })}
    </div>,
  );
}

function MachineCard({ m }: { m: Machine }) {
  const size = [m.cores > 0 && t("word.vcpus", { n: m.cores }), m.memory_mib > 0 && mib(m.memory_mib), m.disk_bytes > 0 && bytes(m.disk_bytes)].filter(Boolean).join(" · ");
  return (
    <li className="rise box px-3.5 py-3">
      <Link to="/fleet/machines/$id" params={{ id: m.id } as never} className="font-semibold truncate block hover:text-giwa hover:underline underline-offset-3">{m.name}</Link>
      <p className="text-[13px]"><Status state={m.status} /></p>
      <p className="label truncate">{size || [m.vendor, m.product].filter(Boolean).join(" ")}</p>
      {(m.to_do ?? m.message) && <p className="text-[13px] text-ink2 mt-1 [overflow-wrap:anywhere]">{told(m, m.to_do ? "to_do" : "message")}</p>}
      <p className="label mt-1.5 mb-2"><Ago time={m.status_at} /> · {t("machines.power")} {stateWord(m.power)}</p>
      <MachineActions m={m} small />
    </li>
  );
}
