import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode, Suspense } from "react";
import { I18nProvider } from "react-aria-components";
import { createRoot } from "react-dom/client";
import { queries } from "./api/query";
import { SessionProvider, useHolder } from "./api/session";
import { language, useLanguage } from "./i18n";
import { SignIn } from "./pages/SignIn";
import "./shell/theme";
import { prefetch } from "./ui/arrive";
import { Boundary } from "./ui/Boundary";
import { ErrorNote } from "./ui/ErrorNote";
import { part } from "./ui/part";

/** All that is behind the door: it comes while somebody types a password. */
const behind = () => import("./App");
const App = part(behind);
const ALONE = "mx-auto max-w-[720px] p-6 sm:p-10";

function Door() {
  const { session, silence } = useHolder();
  const lang = useLanguage();
  return (
    <I18nProvider locale={lang === "ko" ? "ko-KR" : "en-GB"}>
      {session === undefined ? silence !== null && <main className={ALONE}><ErrorNote error={silence} /></main>
        : session === null ? <SignIn onBegin={() => prefetch(behind)} />
        : <Boundary className={ALONE}><Suspense fallback={null}><App key={`${session.csrf} ${session.project?.id}`} /></Suspense></Boundary>}
    </I18nProvider>
  );
}

export function open() {
  document.documentElement.lang = language();
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <SessionProvider><Door /></SessionProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}
