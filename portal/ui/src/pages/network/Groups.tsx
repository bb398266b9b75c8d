import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { ask } from "~/api/http";
import { useList } from "~/api/query";
import type { SecurityGroup } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Confirm, doomed, type Doom } from "~/ui/Confirm";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { Field } from "~/ui/Field";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page } from "~/ui/Page";
import { DataTable } from "~/ui/table/DataTable";
import { aboutOf, inward, short } from "./rules";

export function Groups() {
  const { data, error, refetch } = useList("security_group");
  const ports = useList("port").data;
  const [open, setOpen] = useOpen("new");
  const [name, setName] = useState("");
  const [about, setAbout] = useState("");
  const [doom, setDoom] = useState<Doom | null>(null);
  const navigate = useNavigate();
  const used = (g: SecurityGroup) => ports?.filter((p) => p.security_groups.includes(g.id)).length ?? 0;
  const opened = (g: SecurityGroup) => [...new Set(inward(g).filter((r) => !r.remote_group_id).map(short))].join(", ");
  const create = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("groups.create")}</Button>;
  const run = async () => {
    const made = await ask<{ security_group: SecurityGroup }>("/network/v2.0/security-groups", { method: "POST", body: { security_group: { name: name.trim(), description: about } } });
    await navigate({ href: `/security-groups/${made.security_group.id}` });
  };
  return (
    <Page title={t("groups.title")} lead={t("groups.lead")} actions={create}>
      <DataTable label={t("groups.title")} rows={data} error={error} retry={refetch} id={(g) => g.id} name={(g) => g.name}
        href={(g) => `/security-groups/${g.id}`} onOpen={(g) => void navigate({ href: `/security-groups/${g.id}` })} sort={{ id: "name", down: false }}
        columns={[
          { id: "name", head: t("word.name"), phone: "title", value: (g) => g.name, cell: (g) => g.name },
          { id: "open", head: t("groups.open"), width: "minmax(0,1.6fr)", phone: "line", value: opened, cell: (g) => opened(g) || <span className="text-ink3">{t("groups.shut")}</span> },
          { id: "about", head: t("word.description"), from: 900, width: "minmax(0,1.4fr)", value: aboutOf, cell: (g) => <span className="text-ink2">{aboutOf(g) || "–"}</span> },
          { id: "used", head: t("groups.used"), width: "90px", end: true, phone: "aside", value: used, cell: (g) => used(g) },
        ]}
        bulk={(picked, clear) => (
          <Button small look="danger" isDisabled={picked.some((g) => g.name === "default")} onPress={() => setDoom({
            ...doomed(picked.map((g) => g.name), (name) => t("groups.deleteAsk", { name }), (n) => t("groups.deleteMany", { n })), note: t("groups.deleteNote"),
            run: () => Promise.all(picked.map((g) => ask(`/network/v2.0/security-groups/${g.id}`, { method: "DELETE" }))).then(clear),
          })}>
            <Icon name="trash" size={14} />{t("do.delete")}
          </Button>
        )}
        empty={<Empty title={t("groups.empty")} action={create}>{t("groups.emptyNote")}</Empty>} />
      <Confirm of={doom} onClose={() => setDoom(null)} />
      <FormDialog title={t("groups.create")} open={open} onClose={() => setOpen(false)} action={t("groups.create")} ready={name.trim() !== ""} run={run}>
        <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
        <Field label={t("word.description")} value={about} onChange={setAbout} />
      </FormDialog>
    </Page>
  );
}
