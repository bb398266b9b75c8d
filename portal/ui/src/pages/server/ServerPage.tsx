import { useNavigate, useParams } from "@tanstack/react-router";
import { allowed, runAction, wordOf } from "~/api/serverActions";
import { useItem } from "~/api/query";
import { t } from "~/i18n";
import { Button, buttonLook } from "~/ui/Button";
import { ErrorNote } from "~/ui/ErrorNote";
import { useWord } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page, Tabs, Waiting } from "~/ui/Page";
import { Status } from "~/ui/Status";
import { say, sayError } from "~/ui/Toasts";
import { taskWord } from "../servers/Servers";
import { ServerMenu } from "../servers/ServerMenu";
import { Activity } from "./Activity";
import { Consoles } from "./Consoles";
import { Metrics } from "../metrics/Metrics";
import { Log } from "./Log";
import { Overview } from "./Overview";
import { Plugs } from "./Plugs";
import { WhyNote } from "./WhyNote";

export function ServerPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: server, error, refetch } = useItem("server", id);
  const [tab, setTab] = useWord("tab", "overview");
  const [doing, setDoing] = useWord("do", "");
  const navigate = useNavigate();
  const back = { to: "/servers", label: t("servers.title") };
  if (error) return <Page title={server?.name ?? t("server.one")} named back={back}><ErrorNote error={error} retry={refetch} /></Page>;
  if (!server) return <Page title={t("server.one")} named back={back}><Waiting /></Page>;
  const quick = allowed(server).filter((a) => ["start", "stop", "reboot", "confirmResize", "revertResize", "unpause", "resume", "unshelve", "unrescue"].includes(a.id));
  return (
    <Page title={server.name} named back={back} lead={<Status state={server.status} note={taskWord(server)} />}
      actions={(
        <>
          {quick.map((a) => (
            <Button key={a.id} onPress={() => void runAction(a, server.id).then(() => say(t("server.asked", { what: wordOf(a), name: server.name })), sayError)}>
              <Icon name={a.icon} size={14} />{wordOf(a)}
            </Button>
          ))}
          <ServerMenu key={doing} ask={doing} onAnswered={() => setDoing("")} server={server} className={`${buttonLook("plain")} !px-2`} onDeleted={() => void navigate({ to: "/servers" })} />
        </>
      )}>
      <WhyNote server={server} />
      <Tabs label={server.name} value={tab} onChange={setTab} tabs={[
        { id: "overview", label: t("server.overview"), body: <Overview server={server} /> },
        { id: "console", label: t("server.console"), body: <Consoles server={server} /> },
        { id: "network", label: t("nav.network"), body: <Plugs server={server} /> },
        { id: "metrics", label: t("metrics.title"), body: <Metrics path={`/hanok/v1/servers/${server.id}/metrics`} empty={t("metrics.emptyServer")} /> },
        { id: "log", label: t("server.log"), body: <Log server={server} /> },
        { id: "activity", label: t("server.activity"), body: <Activity server={server} /> },
      ]} />
    </Page>
  );
}
