import { useState } from "react";
import { ask } from "~/api/http";
import { useChange, useList } from "~/api/query";
import type { Flavor } from "~/api/types";
import { t } from "~/i18n";
import { gib, mib, number } from "~/i18n/format";
import { Button } from "~/ui/Button";
import { Confirm } from "~/ui/Confirm";
import { FormDialog } from "~/ui/Dialog";
import { Empty } from "~/ui/Empty";
import { Field } from "~/ui/Field";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { Page } from "~/ui/Page";
import { DataTable } from "~/ui/table/DataTable";

export function Flavors() {
  const { data, error, refetch } = useList("flavor", "all");
  const [open, setOpen] = useOpen("new");
  const [doomed, setDoomed] = useState<Flavor | null>(null);
  const [form, setForm] = useState({ name: "", vcpus: "2", ram: "2048", disk: "20" });
  const create = useChange((body: unknown) => ask("/compute/v2.1/flavors", { method: "POST", body }), ["flavor"]);
  const remove = useChange((id: string) => ask(`/compute/v2.1/flavors/${id}`, { method: "DELETE" }), ["flavor"]);
  const set = (name: keyof typeof form) => (value: string) => setForm({ ...form, [name]: value });
  const who = (f: Flavor) => f["os-flavor-access:is_public"] ? t("flavors.public") : t("flavors.private");
  const add = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("flavors.create")}</Button>;
  return (
    <Page title={t("flavors.title")} lead={t("flavors.lead")} actions={add}>
      <DataTable label={t("flavors.title")} rows={data} error={error} retry={refetch} id={(f) => f.id} name={(f) => f.name} sort={{ id: "ram", down: false }}
        columns={[
          { id: "name", head: t("word.name"), phone: "title", value: (f) => f.name, cell: (f) => f.name },
          { id: "cores", head: t("word.cores"), end: true, phone: "line", value: (f) => f.vcpus, cell: (f) => number(f.vcpus) },
          { id: "ram", head: t("word.memory"), end: true, phone: "line", value: (f) => f.ram, cell: (f) => mib(f.ram) },
          { id: "disk", head: t("word.disk"), end: true, phone: "line", value: (f) => f.disk, cell: (f) => gib(f.disk) },
          { id: "who", head: t("flavors.who"), phone: "aside", value: who, cell: who, end: true },
        ]}
        menu={(f) => <Menu label={f.name} acts={[{ id: "delete", label: t("do.delete"), icon: "trash", danger: true, run: () => setDoomed(f) }]} />}
        empty={<Empty title={t("flavors.empty")} action={add}>{t("flavors.emptyNote")}</Empty>} />
      <FormDialog title={t("flavors.create")} open={open} onClose={() => setOpen(false)} action={t("flavors.create")} ready={form.name.trim() !== ""}
        run={() => create.mutateAsync({ flavor: { name: form.name.trim(), vcpus: Number(form.vcpus), ram: Number(form.ram), disk: Number(form.disk) } })}>
        <Field label={t("word.name")} value={form.name} onChange={set("name")} autoFocus />
        <div className="grid grid-cols-3 gap-4">
          <Field label={t("word.cores")} type="number" value={form.vcpus} onChange={set("vcpus")} />
          <Field label={t("flavors.ramMib")} type="number" value={form.ram} onChange={set("ram")} />
          <Field label={t("flavors.diskGib")} type="number" value={form.disk} onChange={set("disk")} />
        </div>
      </FormDialog>
      <Confirm onClose={() => setDoomed(null)} of={doomed && { title: t("flavors.deleteAsk", { name: doomed.name }), note: t("flavors.deleteNote"), run: () => remove.mutateAsync(doomed.id) }} />
    </Page>
  );
}
