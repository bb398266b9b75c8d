import { useState } from "react";
import { ask } from "~/api/http";
import { useChange, useList } from "~/api/query";
import type { Keypair } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Confirm, doomed, type Doom } from "~/ui/Confirm";
import { Copy } from "~/ui/Copy";
import { Empty } from "~/ui/Empty";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page } from "~/ui/Page";
import { DataTable } from "~/ui/table/DataTable";
import { AddKey } from "./AddKey";

export function Keys() {
  const { data, error, refetch } = useList("keypair");
  const [open, setOpen] = useOpen("new");
  const remove = useChange((keys: Keypair[]) => Promise.all(keys.map((k) => ask(`/compute/v2.1/os-keypairs/${encodeURIComponent(k.name)}`, { method: "DELETE" }))), ["keypair"]);
  const [doom, setDoom] = useState<Doom | null>(null);
  const add = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("keys.create")}</Button>;
  return (
    <Page title={t("keys.title")} lead={t("keys.lead")} actions={data?.length === 0 ? null : add}>
      <DataTable label={t("keys.title")} rows={data} error={error} retry={refetch} id={(k) => k.name} name={(k) => k.name} sort={{ id: "name", down: false }}
        columns={[
          { id: "name", head: t("word.name"), phone: "title", value: (k) => k.name, cell: (k) => k.name },
          { id: "type", head: t("word.kind"), width: "90px", phone: "aside", value: (k) => k.type, cell: (k) => k.type },
          { id: "print", head: t("keys.fingerprint"), width: "minmax(0,2fr)", phone: "line", value: (k) => k.fingerprint, cell: (k) => <Copy text={k.fingerprint} mono /> },
        ]}
        bulk={(picked, clear) => <Button small look="danger" onPress={() => setDoom({
          ...doomed(picked.map((k) => k.name), (name) => t("keys.deleteAsk", { name }), (n) => t("keys.deleteMany", { n })), note: t("keys.deleteNote"), run: () => remove.mutateAsync(picked).then(clear),
        })}><Icon name="trash" size={14} />{t("do.delete")}</Button>}
        empty={<Empty title={t("keys.empty")} action={add}>{t("keys.emptyNote")}</Empty>} />
      <Confirm of={doom} onClose={() => setDoom(null)} />
      {open && <AddKey onClose={() => setOpen(false)} />}
    </Page>
  );
}
