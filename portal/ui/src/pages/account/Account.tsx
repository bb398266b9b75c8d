import { useState } from "react";
import { useSession } from "~/api/session";
import { language, setLanguage, t, wordFor } from "~/i18n";
import { duration, when } from "~/i18n/format";
import { PasswordDialog } from "~/shell/PasswordDialog";
import { setTheme, useTheme } from "~/shell/theme";
import { Button } from "~/ui/Button";
import { Copy } from "~/ui/Copy";
import { Facts, Page, Section } from "~/ui/Page";
import { OneTimeCodes } from "./OneTimeCodes";

const themes = ["system", "light", "dark"] as const;
const languages = [["ko", "한국어"], ["en", "English"]] as const;

/** What is one's own, whatever the project: how one signs in, and how pages look. */
export function Account() {
  const { user, project, roles, expires_at, idle_s } = useSession();
  const theme = useTheme();
  const [changing, setChanging] = useState(false);
  return (
    <Page title={t("account.title")} lead={t("account.lead")}>
      <div className="grid grid-cols-[minmax(0,1fr)] gap-10 max-w-[760px]">
        <Section title={t("account.you")}>
          <div className="box p-5">
            <Facts rows={[
              [t("signin.user"), <b key="u" className="font-semibold">{user.name}</b>], ["ID", <Copy key="i" text={user.id} mono />],
              ...(project ? [[t("team.role"), `${roles.map((r) => wordFor("role", r)).join(", ")} · ${project.name}`] as [string, string]] : []),
              [t("account.session"), t("account.sessionUntil", { when: when(expires_at), idle: duration(idle_s) })],
            ]} />
          </div>
        </Section>
        <Section title={t("signin.password")}>
          <div className="box px-5 py-4 flex flex-wrap items-center justify-between gap-3">
            <p className="text-ink2">{t("account.passwordNote")}</p>
            <Button onPress={() => setChanging(true)}>{t("password.change")}</Button>
          </div>
        </Section>
        <OneTimeCodes />
        <Section title={t("account.look")}>
          <div className="box px-5 py-4 flex flex-wrap gap-x-10 gap-y-4">
            <div role="group" aria-label={t("account.language")}><p className="label mb-1.5">{t("account.language")}</p>
              <div className="flex gap-1">{languages.map(([id, name]) => <Button key={id} small look={language() === id ? "solid" : "plain"} aria-pressed={language() === id} onPress={() => setLanguage(id)}>{name}</Button>)}</div>
            </div>
            <div role="group" aria-label={t("account.appearance")}><p className="label mb-1.5">{t("account.appearance")}</p>
              <div className="flex gap-1">{themes.map((id) => <Button key={id} small look={theme === id ? "solid" : "plain"} aria-pressed={theme === id} onPress={() => setTheme(id)}>{t(`theme.${id}`)}</Button>)}</div>
            </div>
          </div>
        </Section>
      </div>
      {changing && <PasswordDialog onClose={() => setChanging(false)} />}
    </Page>
  );
}
