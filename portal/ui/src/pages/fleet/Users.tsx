import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk, useChange, useList } from "~/api/query";
import type { User } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { Confirm, type Doom } from "~/ui/Confirm";
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
import { Roles } from "./Roles";

export function Users() {
  const { data, error, refetch } = useList("user", "all");
  const [open, setOpen] = useOpen("new");
  const [reset, setReset] = useState<User | null>(null);
  const [doom, setDoom] = useState<Doom | null>(null);
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
            { id: "reset", label: t("users.reset"), icon: "key", run: () => setReset(u) },
            { id: "codes", label: t("users.codesOff"), icon: "shield", disabled: !coded(u), run: () => setDoom({ title: t("users.codesAsk", { name: u.name }), note: t("users.codesNote"), action: t("codes.off"), run: () => forgetCodes(u) }) },
            { id: "on", label: u.enabled ? t("users.disable") : t("users.enable"), icon: "access", run: () => change.mutate({ id: u.id, enabled: !u.enabled }, { onError: sayError }) },
            { id: "delete", label: t("do.delete"), icon: "trash", danger: true, run: () => setDoom({ title: t("users.deleteAsk", { name: u.name }), note: t("users.deleteNote"), run: () => remove.mutateAsync(u.id) }) },
          ]} />
        )}
        empty={<Empty title={t("users.empty")} action={add}>{t("users.emptyNote")}</Empty>} />
      {open && <CreateUser onClose={() => setOpen(false)} />}
      {reset && <Reset user={reset} onClose={() => setReset(null)} />}
      <Roles />
      <Confirm of={doom} onClose={() => setDoom(null)} />
    </Page>
  );
}

const coded = (u: User) => Boolean(u.options?.multi_factor_auth_rules?.length);

/** For somebody whose phone is lost: the password alone is enough again, and what the app had is forgotten. */
async function forgetCodes(u: User) {
  await ask(`/identity/v3/users/${u.id}`, { method: "PATCH", body: { user: { options: { multi_factor_auth_rules: null } } } });
  const { credentials } = await ask<{ credentials: { id: string }[] }>(`/identity/v3/credentials?user_id=${u.id}&type=totp`);
  await Promise.all(credentials.map((c) => ask(`/identity/v3/credentials/${c.id}`, { method: "DELETE" })));
  await queries.invalidateQueries({ queryKey: ["list", "user"] });
}

function Reset({ user, onClose }: { user: User; onClose: () => void }) {
  const [password, setPassword] = useState("");
  return (
    <FormDialog title={t("users.resetAsk", { name: user.name })} open onClose={onClose} action={t("do.save")} ready={password !== ""}
      run={() => ask(`/identity/v3/users/${user.id}`, { method: "PATCH", body: { user: { password } } })}>
      <Field label={t("password.new")} value={password} onChange={setPassword} type="password" autoComplete="new-password" autoFocus note={t("users.passwordNote")} />
    </FormDialog>
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
