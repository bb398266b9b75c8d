import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { I18nProvider } from "react-aria-components";
import { createRoot } from "react-dom/client";
import { queries } from "./api/query";
import { SessionProvider, useHolder } from "./api/session";
import { language, useLanguage } from "./i18n";
import { SignIn } from "./pages/SignIn";
import { router } from "./router";
import "./shell/theme";
import "./styles/index.css";

function Door() {
  const { session } = useHolder();
  const lang = useLanguage();
  if (session === undefined) return null;
  return (
    <I18nProvider locale={lang === "ko" ? "ko-KR" : "en-GB"}>
      {session ? <RouterProvider router={router} key={session.project?.id ?? ""} /> : <SignIn />}
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
