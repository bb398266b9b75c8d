import { useParams } from "@tanstack/react-router";
import { useItem } from "~/api/query";
import { t } from "~/i18n";
import { ErrorNote } from "~/ui/ErrorNote";
import { useWord } from "~/ui/hooks";
import { Page, Tabs, Waiting } from "~/ui/Page";
import { aboutOf } from "./rules";
import { RuleMatrix } from "./RuleMatrix";

export function GroupPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: group, error, refetch } = useItem("security_group", id);
  const [tab, setTab] = useWord("tab", "in");
  const back = { to: "/security-groups", label: t("groups.title") };
  if (error) return <Page title={t("groups.one")} back={back}><ErrorNote error={error} retry={refetch} /></Page>;
  if (!group) return <Page title={t("groups.one")} back={back}><Waiting /></Page>;
  return (
    <Page title={group.name} named back={back} lead={<>{group.description && <>{aboutOf(group)}<br /></>}{t("groups.matrixLead")}</>}>
      <Tabs label={group.name} value={tab} onChange={setTab} tabs={[
        { id: "in", label: t("groups.in"), body: <RuleMatrix group={group} direction="ingress" /> },
        { id: "out", label: t("groups.out"), body: <RuleMatrix group={group} direction="egress" /> },
      ]} />
    </Page>
  );
}
