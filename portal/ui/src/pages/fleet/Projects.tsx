import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk, useChange, useList } from "~/api/query";
import type { Project } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Confirm } from "~/ui/Confirm";
import { Dialog, FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { Field } from "~/ui/Field";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { Page } from "~/ui/Page";
import { Status } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";
import { AddMember, Members } from "../project/Team";

export function Projects() {
  const { data, error, refetch } = useList("project", "all");
  const [open, setOpen] = useOpen("new");
  const [name, setName] = useState("");
  const [about, setAbout] = useState("");
  const [asked, setAsked] = useState<{ what: "quota" | "team" | "delete"; of: Project } | null>(null);
  const create = useChange((body: unknown) => ask("/identity/v3/projects", { method: "POST", body }), ["project"]);
  const remove = useChange((id: string) => ask(`/identity/v3/projects/${id}`, { method: "DELETE" }), ["project"]);
  const add = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("projects.create")}</Button>;
  const close = () => setAsked(null);
  return (
    <Page title={t("projects.title")} lead={t("projects.lead")} actions={add}>
      <DataTable label={t("projects.title")} rows={data} error={error} retry={refetch} id={(p) => p.id} name={(p) => p.name} search={(p) => p.id} sort={{ id: "name", down: false }}
        columns={[
          { id: "name", head: t("word.name"), phone: "title", value: (p) => p.name, cell: (p) => p.name },
          { id: "state", head: t("word.state"), phone: "aside", value: (p) => Number(p.enabled), cell: (p) => <Status state={p.enabled ? "enabled" : "disabled"} /> },
          { id: "about", head: t("word.description"), width: "minmax(0,2fr)", phone: "line", value: (p) => p.description, cell: (p) => <span className="text-ink2">{p.description || "–"}</span> },
        ]}
        menu={(p) => (
          <Menu label={p.name} acts={[
            { id: "quota", label: t("projects.quota"), icon: "quota", run: () => setAsked({ what: "quota", of: p }) },
            { id: "team", label: t("team.title"), icon: "team", run: () => setAsked({ what: "team", of: p }) },
            { id: "delete", label: t("do.delete"), icon: "trash", danger: true, run: () => setAsked({ what: "delete", of: p }) },
          ]} />
        )}
        empty={<Empty title={t("projects.empty")} action={add}>{t("projects.emptyNote")}</Empty>} />
      <FormDialog title={t("projects.create")} open={open} onClose={() => setOpen(false)} action={t("projects.create")} ready={name.trim() !== ""}
        run={() => create.mutateAsync({ project: { name: name.trim(), description: about, domain_id: "default" } })}>
        <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
        <Field label={t("word.description")} value={about} onChange={setAbout} />
      </FormDialog>
      {asked?.what === "quota" && <QuotaDialog project={asked.of} onClose={close} />}
      {asked?.what === "team" && <TeamDialog project={asked.of} onClose={close} />}
      {asked?.what === "delete" && <Confirm onClose={close} of={{ title: t("projects.deleteAsk", { name: asked.of.name }), note: t("projects.deleteNote"), run: () => remove.mutateAsync(asked.of.id) }} />}
    </Page>
  );
}

function TeamDialog({ project, onClose }: { project: Project; onClose: () => void }) {
  const [adding, setAdding] = useState(false);
  return (
    <Dialog title={t("projects.teamOf", { name: project.name })} open onClose={onClose} wide>
      <Members project={project.id} />
      <div className="flex justify-end gap-2 mt-4"><Button onPress={onClose}>{t("do.close")}</Button><Button look="solid" onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("team.add")}</Button></div>
      {adding && <AddMember project={project.id} onClose={() => setAdding(false)} />}
    </Dialog>
  );
}

type Detail = Record<string, { limit: number; in_use: number }>;
const COMPUTE = ["instances", "cores", "ram"] as const;
const NETWORK = ["network", "subnet", "port", "router", "floatingip", "security_group"] as const;

function QuotaDialog({ project, onClose }: { project: Project; onClose: () => void }) {
  const compute = useAsk<{ quota_set: Detail }>(["quota", project.id], `/compute/v2.1/os-quota-sets/${project.id}/detail`).data?.quota_set;
  const network = useAsk<{ quota: Record<string, number> }>(["quotanet", project.id], `/network/v2.0/quotas/${project.id}`).data?.quota;
  const [typed, setTyped] = useState<Record<string, string>>({});
  const changed = (names: readonly string[]) => Object.fromEntries(names.filter((n) => typed[n] !== undefined && typed[n] !== "").map((n) => [n, Number(typed[n])]));
  const run = async () => {
    const [c, n] = [changed(COMPUTE), changed(NETWORK)];
    if (Object.keys(c).length) await ask(`/compute/v2.1/os-quota-sets/${project.id}`, { method: "PUT", body: { quota_set: c } });
    if (Object.keys(n).length) await ask(`/network/v2.0/quotas/${project.id}`, { method: "PUT", body: { quota: n } });
    for (const key of [["quota"], ["quotanet"], ["limits"], ["netquota"]]) void queries.invalidateQueries({ queryKey: key });
  };
  const now = (name: string) => compute?.[name]?.limit ?? network?.[name];
  return (
    <FormDialog title={t("projects.quotaOf", { name: project.name })} open onClose={onClose} action={t("do.save")} run={run}>
      <p className="label">{t("projects.quotaNote")}</p>
      <div className="grid grid-cols-2 sm:grid-cols-3 gap-4">
        {[...COMPUTE, ...NETWORK].map((name) => (
          <Field key={name} label={name === "ram" ? t("projects.ramMib") : t(`quota.${name}`)} type="number" value={typed[name] ?? String(now(name) ?? "")} onChange={(v) => setTyped({ ...typed, [name]: v })} />
        ))}
      </div>
    </FormDialog>
  );
}
