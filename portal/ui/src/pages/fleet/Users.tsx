import { useState } from "react";
import { ask } from "~/api/http";
import { useAsk, useChange, useList } from "~/api/query";
import type { User } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { Field } from "~/ui/Field";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { Page } from "~/ui/Page";
import { Status } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";
import { sayError } from "~/ui/Toasts";

export function Users() {
  const { data, error, refetch } = useList("user", "all");
  const [open, setOpen] = useOpen("new");
  const [doomed, setDoomed] = useState<User | null>(null);
  const change = useChange(({ id, enabled }: { id: string; enabled: boolean }) => ask(`/identity/v3/users/${id}`, { method: "PATCH", body: { user: { enabled } } }), ["user"]);
  const remove = useChange((id: string) => ask(`/identity/v3/users/${id}`, { method: "DELETE" }), ["user"]);
  const add = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("users.create")}</Button>;
  return (
    <Page title={t("users.title")} lead={t("users.lead")} actions={add}>
      <DataTable label={t("users.title")} rows={data} error={error} retry={refetch} id={(u) => u.id} name={(u) => u.name} search={(u) => u.id} sort={{ id: "name", down: false }}
        columns={[
          { id: "name", head: t("word.name"), phone: "title", value: (u) => u.name, cell: (u) => u.name },
          { id: "state", head: t("word.state"), phone: "aside", value: (u) => Number(u.enabled), cell: (u) => <Status state={u.enabled ? "enabled" : "disabled"} /> },
          { id: "mail", head: t("users.email"), width: "minmax(0,1.6fr)", phone: "line", value: (u) => u.email ?? "", cell: (u) => u.email || "–" },
        ]}
        menu={(u) => (
          <Menu label={u.name} acts={[
            { id: "on", label: u.enabled ? t("users.disable") : t("users.enable"), icon: "access", run: () => change.mutate({ id: u.id, enabled: !u.enabled }, { onError: sayError }) },
            { id: "delete", label: t("do.delete"), icon: "trash", danger: true, run: () => setDoomed(u) },
          ]} />
        )}
        empty={<Empty title={t("users.empty")} action={add}>{t("users.emptyNote")}</Empty>} />
      {open && <CreateUser onClose={() => setOpen(false)} />}
      {doomed && (
        <FormDialog title={t("users.deleteAsk", { name: doomed.name })} open onClose={() => setDoomed(null)} action={t("do.delete")} danger run={() => remove.mutateAsync(doomed.id)}>
          <p className="text-ink2">{t("users.deleteNote")}</p>
        </FormDialog>
      )}
    </Page>
  );
}

function CreateUser({ onClose }: { onClose: () => void }) {
  const projects = useList("project", "all").data ?? [];
  const roles = useAsk<{ roles: { id: string; name: string }[] }>(["roles"], "/identity/v3/roles").data?.roles;
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [project, setProject] = useState<string | null>(null);
  const create = useChange(async () => {
    const body = { user: { name: name.trim(), password, domain_id: "default", ...(email ? { email } : {}), ...(project ? { default_project_id: project } : {}) } };
    const { user } = await ask<{ user: User }>("/identity/v3/users", { method: "POST", body });
    const member = roles?.find((r) => r.name === "member");
    if (project && member) await ask(`/identity/v3/projects/${project}/users/${user.id}/roles/${member.id}`, { method: "PUT" });
  }, ["user"]);
  return (
    <FormDialog title={t("users.create")} open onClose={onClose} action={t("users.create")} ready={name.trim() !== "" && password !== ""} run={() => create.mutateAsync(undefined)}>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
      <Field label={t("users.email")} value={email} onChange={setEmail} type="email" />
      <Field label={t("users.password")} value={password} onChange={setPassword} type="password" autoComplete="new-password" note={t("users.passwordNote")} />
      <Choice label={t("users.project")} value={project} onChange={setProject} placeholder={t("do.choose")} options={projects.map((p) => ({ id: p.id, label: p.name }))} />
    </FormDialog>
  );
}
