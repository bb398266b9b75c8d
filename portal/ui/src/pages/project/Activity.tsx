import { useSession } from "~/api/session";
import { t } from "~/i18n";
import { Page } from "~/ui/Page";
import { Deeds } from "./Deeds";

/** Of one's own project. */
export function Activity() {
  const { project } = useSession();
  return <Page title={t("activity.title")} lead={t("activity.lead")}>{project && <Deeds label={t("activity.title")} project={project.id} />}</Page>;
}
