import { ApiError } from "~/api/http";
import { useAsk } from "~/api/query";
import { t } from "~/i18n";
import { Ago } from "~/ui/Ago";
import { Button } from "~/ui/Button";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page, Waiting } from "~/ui/Page";
import { Status } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";
import { Invite } from "./Invite";
import { Segments } from "./Segments";

interface Rack { id: string; name: string; state: string; seen_at: string | null; version: string; segments: unknown[]; machines: number }

/** Where machines are: rack controllers, and the segments on which they boot. */
export function Racks() {
  const racks = useAsk<{ racks: Rack[] }>(["racks"], "/hanok/v1/racks");
  const [adding, setAdding] = useOpen("new");
  const add = <Button look="solid" onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("racks.add")}</Button>;
  const page = (body: React.ReactNode) => <Page title={t("racks.title")} lead={t("racks.lead")} actions={racks.data?.racks.length === 0 ? null : add}>{body}</Page>;
  if (racks.error instanceof ApiError && racks.error.status === 404) return page(<div className="box"><Empty title={t("machines.absent")}>{t("machines.absentNote")}</Empty></div>);
  if (racks.error) return page(<ErrorNote error={racks.error} retry={racks.refetch} />);
  if (!racks.data) return page(<Waiting />);
  return page(
    <div className="grid grid-cols-[minmax(0,1fr)] gap-10">
      <DataTable label={t("racks.title")} rows={racks.data.racks} id={(r) => r.id} name={(r) => r.name}
        columns={[
          { id: "name", head: t("word.name"), phone: "title", value: (r) => r.name, cell: (r) => r.name },
          { id: "state", head: t("word.state"), phone: "aside", value: (r) => r.state, cell: (r) => <Status state={r.state} /> },
          { id: "machines", head: t("machines.title"), end: true, width: "110px", phone: "line", value: (r) => r.machines, cell: (r) => r.machines },
          { id: "version", head: t("racks.version"), from: 800, value: (r) => r.version, cell: (r) => r.version || "–" },
          { id: "seen", head: t("racks.seen"), end: true, phone: "line", value: (r) => r.seen_at ?? "", cell: (r) => <Ago time={r.seen_at} /> },
        ]}
        empty={<Empty title={t("racks.empty")} action={add}>{t("racks.emptyNote")}</Empty>} />
      <Segments racks={racks.data.racks} />
      {adding && <Invite kind="rack" onClose={() => setAdding(false)} />}
    </div>,
  );
}
