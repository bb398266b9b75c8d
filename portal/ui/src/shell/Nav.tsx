import { Link, useRouterState } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useSession } from "~/api/session";
import { t } from "~/i18n";
import { cx } from "~/ui/cx";
import { Icon } from "~/ui/icons";
import { Mark } from "~/ui/Lattice";
import { groups, placesFor } from "./places";
import { ProjectSwitch } from "./ProjectSwitch";

/** The longest address that the page's begins with is the one we are at. */
function useHere(admin: boolean): string {
  const path = useRouterState({ select: (s) => s.location.pathname });
  const fits = placesFor(admin).filter((p) => path === p.to || (p.to !== "/" && path.startsWith(`${p.to}/`)));
  return fits.sort((a, b) => b.to.length - a.to.length)[0]?.to ?? "";
}

export function Nav({ onGo }: { onGo?: () => void }) {
  const { admin } = useSession();
  const here = useHere(admin);
  const list = useRef<HTMLElement>(null);
  useEffect(() => {
    list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }, [here]);
  return (
    <nav ref={list} aria-label={t("nav.label")} className="flex flex-col gap-4 h-full overflow-y-auto px-3 py-4">
      <Link to="/" onClick={onGo} className="flex items-center gap-2.5 px-2 rounded">
        <Mark size={26} />
        <span className="font-title font-bold text-[19px] leading-none">{t("brand.title")}</span>
      </Link>
      <ProjectSwitch />
      {groups.filter((g) => !g.admin || admin).map((group) => (
        <div key={group.key ?? "top"}>
          {group.key && <p className="px-2 mb-1 label">{t(group.key)}</p>}
          <ul>
            {group.places.map((place) => {
              const on = place.to === here;
              return (
                <li key={place.to}>
                  <Link to={place.to} onClick={onGo} aria-current={on ? "page" : undefined}
                    className={cx("relative flex items-center gap-2.5 h-[30px] px-2 rounded-[6px] transition-colors",
                      on ? "bg-giwa-soft text-giwa-strong font-semibold" : "text-ink2 hover:bg-[color-mix(in_srgb,var(--line)_45%,transparent)] hover:text-ink")}>
                    {on && <span aria-hidden="true" className="absolute -left-3 w-[3px] h-4 rounded-r bg-seokganju" />}
                    <Icon name={place.icon} />
                    <span className="truncate">{t(place.key)}</span>
                  </Link>
                </li>
              );
            })}
          </ul>
        </div>
      ))}
    </nav>
  );
}
