import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk } from "~/api/query";
import { useSession } from "~/api/session";
import { t, wordFor } from "~/i18n";
import { when } from "~/i18n/format";
import { Button } from "~/ui/Button";
import { Confirm, doomed, type Doom } from "~/ui/Confirm";
import { CodeBlock } from "~/ui/Copy";
import { Empty } from "~/ui/Empty";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page, Section } from "~/ui/Page";
import { DataTable } from "~/ui/table/DataTable";
import { asCloudsYaml } from "./clouds";
import { NewCredential } from "./NewCredential";

export interface Credential { id: string; name: string; description: string | null; expires_at: string | null; roles: { name: string }[]; unrestricted: boolean; secret?: string }

/** How programs get in: application credentials, and the file that the clients read. */
export function Access() {
  const { user, project, region } = useSession();
  const path = `/identity/v3/users/${user.id}/application_credentials`;
  const key = ["credentials", user.id];
  const { data, error, refetch } = useAsk<{ application_credentials: Credential[] }>(key, path);
  const [doom, setDoom] = useState<Doom | null>(null);
  const [adding, setAdding] = useOpen("new");
  const yaml = asCloudsYaml({ origin: location.origin, region, user: user.name, project: project?.name ?? "" });
  const remove = (list: Credential[]) => Promise.all(list.map((c) => ask(`${path}/${c.id}`, { method: "DELETE" }))).then(() => queries.invalidateQueries({ queryKey: key }));
  const add = <Button look="solid" onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("access.create")}</Button>;
  return (
    <Page title={t("access.title")} lead={t("access.lead")} actions={data?.application_credentials.length === 0 ? null : add}>
      <div className="grid grid-cols-[minmax(0,1fr)] gap-10">
        <Section title={t("access.credentials")}>
          <DataTable label={t("access.credentials")} rows={data?.application_credentials} error={error} retry={refetch} id={(c) => c.id} name={(c) => c.name}
            columns={[
              { id: "name", head: t("word.name"), phone: "title", value: (c) => c.name, cell: (c) => c.name },
              { id: "roles", head: t("team.role"), phone: "line", value: (c) => c.roles.map((r) => wordFor("role", r.name)).join(" "), cell: (c) => c.roles.map((r) => wordFor("role", r.name)).join(", ") },
              { id: "until", head: t("access.until"), phone: "aside", value: (c) => c.expires_at ?? "9", cell: (c) => c.expires_at ? when(c.expires_at) : <span className="text-ink3">{t("access.forever")}</span> },
            ]}
            bulk={(picked, clear) => <Button small look="danger" onPress={() => setDoom({
              ...doomed(picked.map((c) => c.name), (name) => t("access.deleteAsk", { name }), (n) => t("access.deleteMany", { n })), note: t("access.deleteNote"), run: () => remove(picked).then(clear),
            })}><Icon name="trash" size={14} />{t("do.delete")}</Button>}
            empty={<Empty title={t("access.empty")} action={add}>{t("access.emptyNote")}</Empty>} />
        </Section>
        <Section title="clouds.yaml" actions={<Button small onPress={() => save(yaml)}><Icon name="download" size={14} />{t("do.download")}</Button>}>
          <p className="text-ink2 mb-3">{t("access.yamlNote")} <code className="font-mono text-[12.5px]">~/.config/openstack/clouds.yaml</code></p>
          <CodeBlock label="clouds.yaml" text={yaml} />
        </Section>
      </div>
      <Confirm of={doom} onClose={() => setDoom(null)} />
      {adding && <NewCredential path={path} onClose={() => setAdding(false)} onMade={() => void queries.invalidateQueries({ queryKey: key })} />}
    </Page>
  );
}

export function save(yaml: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([yaml], { type: "application/yaml" }));
  link.download = "clouds.yaml";
  link.click();
  URL.revokeObjectURL(link.href);
}
