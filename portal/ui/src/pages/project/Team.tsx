import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk, useList } from "~/api/query";
import { useSession } from "~/api/session";
import { known, t, type Key } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { FormDialog } from "~/ui/Dialog";
import { ErrorNote } from "~/ui/ErrorNote";
import { Icon } from "~/ui/icons";
import { Page, Waiting } from "~/ui/Page";
import { sayError } from "~/ui/Toasts";

interface Assignment { user?: { id: string; name: string }; group?: { id: string; name: string }; role: { id: string; name: string } }

export const roleWord = (role: string) => (known(`role.${role}`) ? t(`role.${role}` as Key) : role);

export function Team() {
  const { project, roles, user, admin } = useSession();
  const key = ["team", project?.id];
  const { data, error } = useAsk<{ role_assignments: Assignment[] }>(key, admin && project ? `/identity/v3/role_assignments?include_names=true&scope.project.id=${project.id}` : null);
  const [adding, setAdding] = useState(false);
  const again = () => queries.invalidateQueries({ queryKey: key });
  if (!admin) {
    return (
      <Page title={t("team.title")} lead={t("team.hidden")}>
        <div className="box px-5 py-4"><b className="font-semibold">{user.name}</b> <span className="text-ink2">{roles.map(roleWord).join(", ")}</span></div>
      </Page>
    );
  }
  const people = new Map<string, { id: string; name: string; kind: "users" | "groups"; roles: { id: string; name: string }[] }>();
  for (const a of data?.role_assignments ?? []) {
    const who = a.user ?? a.group;
    if (!who) continue;
    const had = people.get(who.id) ?? { ...who, kind: a.user ? ("users" as const) : ("groups" as const), roles: [] };
    people.set(who.id, { ...had, roles: [...had.roles, a.role] });
  }
  const drop = (kind: string, who: string, role: string) =>
    void ask(`/identity/v3/projects/${project!.id}/${kind}/${who}/roles/${role}`, { method: "DELETE" }).then(again, sayError);
  return (
    <Page title={t("team.title")} lead={t("team.lead", { name: project?.name ?? "" })}
      actions={admin && <Button look="solid" onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("team.add")}</Button>}>
      {error ? <ErrorNote error={error} /> : !data ? <Waiting /> : (
        <ul className="box">
          {[...people.values()].sort((a, b) => a.name.localeCompare(b.name)).map((p) => (
            <li key={p.id} className="flex flex-wrap items-center gap-x-4 gap-y-2 px-5 py-3 border-b border-line last:border-0">
              <span aria-hidden="true" className="grid place-items-center size-8 rounded-full bg-giwa-soft text-giwa-strong font-semibold uppercase">{[...p.name][0]}</span>
              <span className="font-semibold min-w-40">{p.name}{p.id === user.id && <span className="label ml-2">{t("team.you")}</span>}</span>
              <span className="flex flex-wrap gap-2">
                {p.roles.map((r) => (
                  <span key={r.id} className="inline-flex items-center gap-1 rounded-full border border-line2 pl-3 pr-1.5 h-7 text-[13px]">
                    {roleWord(r.name)}
                    {admin && <button type="button" aria-label={t("team.drop", { role: roleWord(r.name), name: p.name })} onClick={() => drop(p.kind, p.id, r.id)} className="p-1 rounded-full text-ink3 hover:text-seokganju"><Icon name="close" size={12} /></button>}
                  </span>
                ))}
              </span>
            </li>
          ))}
        </ul>
      )}
      {adding && project && <AddMember project={project.id} onClose={() => setAdding(false)} onDone={again} />}
    </Page>
  );
}

export function AddMember({ project, onClose, onDone }: { project: string; onClose: () => void; onDone: () => void }) {
  const users = useList("user", "all").data ?? [];
  const roles = useAsk<{ roles: { id: string; name: string }[] }>(["roles"], "/identity/v3/roles").data?.roles ?? [];
  const [who, setWho] = useState<string | null>(null);
  const [role, setRole] = useState<string | null>(null);
  const chosen = role ?? roles.find((r) => r.name === "member")?.id ?? null;
  return (
    <FormDialog title={t("team.add")} open onClose={onClose} action={t("team.add")} ready={who !== null && chosen !== null}
      run={() => ask(`/identity/v3/projects/${project}/users/${who}/roles/${chosen}`, { method: "PUT" }).then(onDone)}>
      <Choice label={t("users.one")} value={who} onChange={setWho} placeholder={t("do.choose")} options={users.map((u) => ({ id: u.id, label: u.name }))} />
      <Choice label={t("team.role")} value={chosen} onChange={setRole} options={roles.map((r) => ({ id: r.id, label: roleWord(r.name), note: r.name }))} />
    </FormDialog>
  );
}
