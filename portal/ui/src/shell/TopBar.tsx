import { Link, useNavigate } from "@tanstack/react-router";
import { useLink } from "~/api/events";
import { useHolder, useSession } from "~/api/session";
import { language, setLanguage, t } from "~/i18n";
import { Button, buttonLook } from "~/ui/Button";
import { cx } from "~/ui/cx";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { setTheme, useTheme } from "./theme";

export const mod = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl ";

export function TopBar({ onMenu, onPalette, onHelp }: { onMenu: () => void; onPalette: () => void; onHelp: () => void }) {
  const { user } = useSession();
  const { signOut } = useHolder();
  const theme = useTheme();
  const link = useLink();
  const navigate = useNavigate();
  const next = theme === "system" ? "dark" : theme === "dark" ? "light" : "system";
  return (
    <div className="sticky top-0 z-20 flex items-center gap-2 h-[52px] px-3 sm:px-6 bg-[color-mix(in_srgb,var(--paper)_88%,transparent)] backdrop-blur border-b border-line">
      <Button look="quiet" className="lg:hidden !px-2" aria-label={t("nav.open")} onPress={onMenu}><Icon name="menu" /></Button>
      <button type="button" onClick={onPalette}
        className="flex items-center gap-2 h-[34px] flex-1 max-w-[420px] min-w-0 px-3 rounded-[8px] border border-line2 bg-surface text-ink3 hover:border-ink3 text-left">
        <Icon name="search" size={14} />
        <span className="flex-1 truncate">{t("palette.open")}</span>
        <kbd className="key hidden sm:inline">{mod}K</kbd>
      </button>
      <div className="ml-auto flex items-center gap-1">
        {link === "live" && (
          <span className="hidden md:inline-flex items-center gap-1.5 label px-2" title={t("link.liveNote")}>
            <span className="size-1.5 rounded-full bg-noerok" aria-hidden="true" />{t("link.live")}
          </span>
        )}
        <Button look="quiet" className="!px-2 hidden sm:inline-flex" aria-label={t("theme.switch", { now: t(`theme.${theme}`) })} onPress={() => setTheme(next)}>
          <Icon name={theme === "dark" ? "moon" : theme === "light" ? "sun" : "screen"} />
        </Button>
        <Menu label={`${t("nav.account")}: ${user.name}`} className={cx(buttonLook("quiet"), "!px-2")}
          acts={[
            { id: "account", label: t("account.title"), icon: "key", run: () => void navigate({ to: "/account" }) },
            { id: "lang", label: language() === "en" ? "한국어로 보기" : "Read in English", icon: "globe", run: () => setLanguage(language() === "en" ? "ko" : "en") },
            { id: "theme", label: t("theme.switch", { now: t(`theme.${theme}`) }), icon: "sun", run: () => setTheme(next) },
            { id: "help", label: t("help.title"), icon: "terminal", run: onHelp },
            { id: "out", label: t("nav.signOut"), icon: "out", run: () => void signOut("asked") },
          ]}>
          <span className="max-w-28 truncate">{user.name}</span><Icon name="down" size={13} />
        </Menu>
        <Link to="/servers/new" className={cx(buttonLook("solid"), "ml-1")}>
          <Icon name="plus" size={14} /><span className="max-sm:sr-only">{t("servers.create")}</span>
        </Link>
      </div>
    </div>
  );
}
