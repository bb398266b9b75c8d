import { t } from "~/i18n";
import { Page } from "~/ui/Page";
import { Deeds } from "../project/Deeds";

/** Of all projects. */
export function Audit() {
  return <Page title={t("audit.title")} lead={t("audit.lead")}><Deeds label={t("audit.title")} project={null} /></Page>;
}
