import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { useCallback, useEffect, useState } from "react";
import { Dialog, Modal, ModalOverlay } from "react-aria-components";
import { listen } from "~/api/events";
import { useHolder, useIdle, useSession } from "~/api/session";
import { t, useLanguage } from "~/i18n";
import { buttonLook } from "~/ui/Button";
import { Empty } from "~/ui/Empty";
import { Toasts } from "~/ui/Toasts";
import { Banner } from "./Banner";
import { Nav } from "./Nav";
import { Palette } from "./Palette";
import { Help, useShortcuts } from "./Shortcuts";
import { TopBar } from "./TopBar";

export function Shell() {
  const session = useSession();
  const { signOut } = useHolder();
  const lang = useLanguage();
  const [palette, setPalette] = useState(false);
  const [menu, setMenu] = useState(false);
  const [help, setHelp] = useState(false);
  const path = useRouterState({ select: (s) => s.location.pathname });

  useEffect(() => listen(`${session.csrf} ${session.project?.id}`), [session.csrf, session.project?.id]);
  useIdle(session.idle_s, useCallback(() => void signOut("idle"), [signOut]));
  useShortcuts(session.admin, setPalette, setHelp);
  useEffect(() => setMenu(false), [path]);

  return (
    <div key={lang} className="lg:grid lg:grid-cols-[224px_minmax(0,1fr)] min-h-dvh">
      <a href="#main" className="sr-only focus:not-sr-only focus:fixed focus:z-50 focus:top-2 focus:left-2 focus:bg-surface focus:px-3 focus:py-2 focus:rounded">{t("nav.skip")}</a>
      <div className="hidden lg:block sticky top-0 h-dvh bg-sunk border-r border-line"><Nav /></div>
      <ModalOverlay isOpen={menu} onOpenChange={setMenu} isDismissable className="fixed inset-0 z-40 bg-[rgb(var(--shade)/0.4)] lg:hidden">
        <Modal className="h-dvh w-[264px] bg-sunk shadow-high">
          <Dialog aria-label={t("nav.label")} className="h-full outline-none"><Nav onGo={() => setMenu(false)} /></Dialog>
        </Modal>
      </ModalOverlay>
      <div className="min-w-0 flex flex-col">
        <TopBar onMenu={() => setMenu(true)} onPalette={() => setPalette(true)} onHelp={() => setHelp(true)} />
        <Banner />
        <main id="main" tabIndex={-1} className="outline-none flex-1">{session.project || path === "/account" ? <Outlet /> : <Homeless />}</main>
      </div>
      <Palette open={palette} onClose={() => setPalette(false)} />
      <Help open={help} onClose={() => setHelp(false)} />
      <Toasts />
    </div>
  );
}

/** Everything belongs to a project, and whoever is in none can only be told what to do. */
function Homeless() {
  const { user } = useSession();
  return (
    <div className="py-10">
      <Empty title={t("homeless.title")} action={<Link to="/account" className={buttonLook("plain")}>{t("account.title")}</Link>}>{t("homeless.note", { name: user.name })}</Empty>
    </div>
  );
}
