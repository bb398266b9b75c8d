import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk, useList } from "~/api/query";
import { useSession } from "~/api/session";
import { known, t, type Key } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { Confirm, type Doom } from "~/ui/Confirm";
import { FormDialog } from "~/ui/Dialog";
import { ErrorNote } from "~/ui/ErrorNote";
import { Icon } from "~/ui/icons";
import { Page, Waiting } from "~/ui/Page";

interface Assignment { user?: { id: string; name: string }; group?: { id: string; name: string }; role: { id: string; name: string } }

export const roleWord = (role: string) => (known(`role.${role}`) ? t(`role.${role}` as Key) : role);

export function Team() {
  const { project, roles, user, admin } = useSession();
  const [adding, setAdding] = useState(false);
  if (!admin || !project) {
    return (
      <Page title={t("team.title")} lead={t("team.hidden")}>
        <div className="box px-5 py-4"><b className="font-semibold">{user.name}</b> <span className="text-ink2">{roles.map(roleWord).join(", ")}</span></div>
      </Page>
    );
  }
  return (
    <Page title={t("team.title")} lead={t("team.lead", { name: project.name })}
      actions={<Button look="solid" onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("team.add")}</Button>}>
      <Members project={project.id} />
      {adding && <AddMember project={project.id} onClose={() => setAdding(false)} />}
    </Page>
  );
}

const keyOf = (project: string) => ["team", project];
const again = (project: string) => queries.invalidateQueries({ queryKey: keyOf(project) });

/** Who has which roles in a project, each to be taken away. */
export function Members({ project }: { project: string }) {
  const { user } = useSession();
  const { data, error } = useAsk<{ role_assignments: Assignment[] }>(keyOf(project), `/identity/v3/role_assignments?include_names=true&scope.project.id=${project}`);
  const [doom, setDoom] = useState<Doom | null>(null);
  if (error) return <ErrorNote error={error} />;
  if (!data) return <Waiting />;
  const people = new Map<string, { id: string; name: string; kind: "users" | "groups"; roles: { id: string; name: string }[] }>();
  for (const a of data.role_assignments) {
    const who = a.user ?? a.group;
    if (!who) continue;
    const had = people.get(who.id) ?? { ...who, kind: a.user ? ("users" as const) : ("groups" as const), roles: [] };
    people.set(who.id, { ...had, roles: [...had.roles, a.role] });
  }
  const drop = (kind: string, who: { id: string; name: string }, role: { id: string; name: string }): Doom => ({
    title: t("team.dropAsk", { role: roleWord(role.name), name: who.name }), note: t("team.dropNote"), action: t("do.remove"),
    run: () => ask(`/identity/v3/projects/${project}/${kind}/${who.id}/roles/${role.id}`, { method: "DELETE" }).then(() => again(project)),
  });
  return (
    <>
      <ul className="box">
        {people.size === 0 && <li className="px-5 py-4 text-ink2">{t("team.nobody")}</li>}
        {[...people.values()].sort((a, b) => a.name.localeCompare(b.name)).map((p) => (
          <li key={p.id} className="flex flex-wrap items-center gap-x-4 gap-y-2 px-5 py-3 border-b border-line last:border-0">
            <span aria-hidden="true" className="grid place-items-center size-8 rounded-full bg-giwa-soft text-giwa-strong font-semibold uppercase">{[...p.name][0]}</span>
            <span className="font-semibold min-w-32">{p.name}{p.id === user.id && <span className="label ml-2">{t("team.you")}</span>}</span>
            <span className="flex flex-wrap gap-2">
              {p.roles.map((r) => (
                <span key={r.id} className="inline-flex items-center gap-1 rounded-full border border-line2 pl-3 pr-1.5 h-7 text-[13px]">
                  {roleWord(r.name)}
                  <button type="button" aria-label={t("team.drop", { role: roleWord(r.name), name: p.name })} onClick={() => setDoom(drop(p.kind, p, r))} className="p-1 rounded-full text-ink3 hover:text-seokganju"><Icon name="close" size={12} /></button>
                </span>
              ))}
            </span>
          </li>
        ))}
      </ul>
      <Confirm of={doom} onClose={() => setDoom(null)} />
    </>
  );
}

export function AddMember({ project, onClose }: { project: string; onClose: () => void }) {
  const users = useList("user", "all").data ?? [];
  const roles = useAsk<{ roles: { id: string; name: string }[] }>(["roles"], "/identity/v3/roles").data?.roles ?? [];
  const [who, setWho] = useState<string | null>(null);
  const [role, setRole] = useState<string | null>(null);
  const chosen = role ?? roles.find((r) => r.name === "member")?.id ?? null;
  return (
    <FormDialog title={t("team.add")} open onClose={onClose} action={t("team.add")} ready={who !== null && chosen !== null}
      run={() => ask(`/identity/v3/projects/${project}/users/${who}/roles/${chosen}`, { method: "PUT" }).then(() => again(project))}>
      <Choice label={t("users.one")} value={who} onChange={setWho} placeholder={t("do.choose")} options={users.map((u) => ({ id: u.id, label: u.name }))} />
      <Choice label={t("team.role")} value={chosen} onChange={setRole} options={roles.map((r) => ({ id: r.id, label: roleWord(r.name), note: r.name }))} />
    </FormDialog>
  );
}
