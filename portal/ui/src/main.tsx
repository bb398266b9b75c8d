import { QueryClientProvider } from "@tanstack/react-query";
import { lazy, StrictMode, Suspense } from "react";
import { I18nProvider } from "react-aria-components";
import { createRoot } from "react-dom/client";
import { queries } from "./api/query";
import { SessionProvider, useHolder } from "./api/session";
import { language, useLanguage } from "./i18n";
import { SignIn } from "./pages/SignIn";
import "./shell/theme";
import "./styles/index.css";

/** All that is behind the door: it comes while somebody types a password. */
const behind = () => import("./App");
const App = lazy(behind);

function Door() {
  const { session } = useHolder();
  const lang = useLanguage();
  if (session === undefined) return null;
  return (
    <I18nProvider locale={lang === "ko" ? "ko-KR" : "en-GB"}>
      {session ? <Suspense fallback={null}><App key={session.project?.id ?? ""} /></Suspense> : <SignIn onBegin={() => void behind()} />}
    </I18nProvider>
  );
}

document.documentElement.lang = language();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <SessionProvider><Door /></SessionProvider>
    </QueryClientProvider>
  </StrictMode>,
);
