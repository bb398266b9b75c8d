import { Link } from "@tanstack/react-router";
import { t } from "~/i18n";
import { buttonLook } from "~/ui/Button";
import { Empty } from "~/ui/Empty";

export function NotFound() {
  return <Empty title={t("missing.page")} action={<Link to="/" className={buttonLook("solid")}>{t("home.title")}</Link>}>{t("missing.pageNote")}</Empty>;
}
