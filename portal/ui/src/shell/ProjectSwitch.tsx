import { useNavigate } from "@tanstack/react-router";
import { useHolder, useSession } from "~/api/session";
import { t } from "~/i18n";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { sayError } from "~/ui/Toasts";

export function ProjectSwitch() {
  const { project, projects } = useSession();
  const { enter } = useHolder();
  const navigate = useNavigate();
  const acts = projects.map((p) => ({
    id: p.id, label: p.name, icon: p.id === project?.id ? ("check" as const) : ("project" as const),
    run: () => void enter(p.id).then(() => navigate({ to: "/" })).catch(sayError),
  }));
  return (
    <Menu acts={acts}
      className="flex items-center gap-2.5 w-full px-2.5 py-1.5 rounded-[8px] border border-line2 bg-surface hover:border-ink3 text-left">
      <span className="grid place-items-center size-6 rounded-[5px] bg-giwa text-on-giwa font-semibold text-[12px] uppercase before:content-[attr(data-letter)]" aria-hidden="true" data-letter={[...(project?.name ?? "?")][0]} />
      <span className="min-w-0 flex-1 leading-tight">
        <span className="block label leading-tight">{t("nav.projectWord")}</span>
        <span className="block truncate font-semibold">{project?.name ?? t("nav.noProject")}</span>
        <span className="sr-only">{t("nav.switch")}</span>
      </span>
      <Icon name="down" size={14} className="text-ink3" />
    </Menu>
  );
}
