import { Link, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { allowed, removeServer, runAction, serverActions, wordOf, type ServerAction } from "~/api/serverActions";
import { useList } from "~/api/query";
import type { Server } from "~/api/types";
import { t } from "~/i18n";
import { taskOf } from "~/i18n/said";
import { mib, number } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Button, buttonLook } from "~/ui/Button";
import { Empty } from "~/ui/Empty";
import { Icon } from "~/ui/icons";
import { Page } from "~/ui/Page";
import { Status } from "~/ui/Status";
import type { Column } from "~/ui/table/columns";
import { DataTable } from "~/ui/table/DataTable";
import { say, sayError } from "~/ui/Toasts";
import { DeleteServers } from "./DeleteServers";
import { ServerMenu } from "./ServerMenu";
import { addressesOf } from "./addresses";

export function Servers() {
  const { data, error, refetch } = useList("server");
  const images = useList("image").data;
  const [doomed, setDoomed] = useState<Server[]>([]);
  const navigate = useNavigate();
  const imageName = useMemo(() => new Map(images?.map((i) => [i.id, i.name])), [images]);
  const columns = useMemo(() => columnsFor(imageName), [imageName]);

  const all = async (servers: Server[], action: ServerAction) => {
    const done = await Promise.allSettled(servers.filter((s) => allowed(s).includes(action)).map((s) => runAction(action, s.id)));
    const failed = done.find((d) => d.status === "rejected");
    if (failed) sayError(failed.reason);
    else say(t("servers.askedMany", { what: wordOf(action), n: done.length }));
  };
  const bulk = serverActions.filter((a) => ["start", "stop", "reboot"].includes(a.id));
  return (
    <Page title={t("servers.title")}>
      <DataTable label={t("servers.title")} rows={data} columns={columns} id={(s) => s.id} name={(s) => s.name} error={error} retry={refetch}
        href={(s) => `/servers/${s.id}`} onOpen={(s) => void navigate({ href: `/servers/${s.id}` })} sort={{ id: "name", down: false }}
        search={(s) => s.id} menu={(s) => <ServerMenu server={s} />}
        bulk={(picked) => (
          <>
            {bulk.map((a) => (
              <Button key={a.id} small isDisabled={!picked.some((s) => allowed(s).includes(a))} onPress={() => void all(picked, a)}>
                <Icon name={a.icon} size={14} />{wordOf(a)}
              </Button>
            ))}
            <Button small look="danger" onPress={() => setDoomed(picked)}><Icon name="trash" size={14} />{t("server.do.delete")}</Button>
          </>
        )}
        empty={(
          <Empty title={t("servers.empty")} action={<Link to="/servers/new" className={buttonLook("solid")}>{t("servers.create")}</Link>}>
            {t("servers.emptyNote")}
          </Empty>
        )} />
      <DeleteServers servers={doomed} onClose={() => setDoomed([])} run={() => Promise.all(doomed.map((s) => removeServer(s.id)))} />
    </Page>
  );
}

function columnsFor(imageName: Map<string, string>): Column<Server>[] {
  return [
    { id: "name", head: t("word.name"), width: "minmax(0,1.7fr)", phone: "title", value: (s) => s.name, cell: (s) => s.name },
    {
      id: "status", head: t("word.state"), width: "minmax(0,1.15fr)", phone: "aside",
      value: (s) => s.status, cell: (s) => <Status state={s.status} note={taskWord(s)} />,
    },
    {
      id: "address", head: t("word.address"), width: "minmax(0,1.5fr)", phone: "line", value: (s) => addressesOf(s).join(" "),
      cell: (s) => {
        const [first, ...others] = addressesOf(s);
        return <span className="font-mono text-[12.5px]" title={others.length ? addressesOf(s).join("\n") : undefined}>{first ?? "–"}{others.length > 0 && <span className="font-sans text-ink3"> +{number(others.length)}</span>}</span>;
      },
    },
    {
      id: "size", head: t("word.size"), width: "minmax(0,1.2fr)", phone: "line", value: (s) => s.flavor.vcpus * 1e9 + s.flavor.ram,
      cell: (s) => <>{s.flavor.original_name} <span className="text-ink3">{t("word.vcpus", { n: s.flavor.vcpus })}, {mib(s.flavor.ram)}</span></>,
    },
    { id: "image", head: t("images.one"), width: "minmax(0,0.8fr)", from: 1340, value: (s) => imageOf(s, imageName), cell: (s) => imageOf(s, imageName) },
    { id: "created", head: t("word.created"), width: "112px", from: 800, end: true, value: (s) => Date.parse(s.created), cell: (s) => <span className="text-ink2"><Ago time={s.created} /></span> },
  ];
}

const imageOf = (s: Server, names: Map<string, string>) => (s.image ? (names.get(s.image.id) ?? "–") : "–");

/** What is under way, in words; the status alone says “active” while a server is on its way to stop. */
export function taskWord(s: Server): string | null {
  const task = s["OS-EXT-STS:task_state"];
  return task ? taskOf(task) : null;
}
