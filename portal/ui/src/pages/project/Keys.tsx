import { ask } from "~/api/http";
import { useChange, useList } from "~/api/query";
import type { Keypair } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Copy } from "~/ui/Copy";
import { Empty } from "~/ui/Empty";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Page } from "~/ui/Page";
import { DataTable } from "~/ui/table/DataTable";
import { sayError } from "~/ui/Toasts";
import { AddKey } from "./AddKey";

export function Keys() {
  const { data, error, refetch } = useList("keypair");
  const [open, setOpen] = useOpen("new");
  const remove = useChange((keys: Keypair[]) => Promise.all(keys.map((k) => ask(`/compute/v2.1/os-keypairs/${encodeURIComponent(k.name)}`, { method: "DELETE" }))), ["keypair"]);
  const add = <Button look="solid" onPress={() => setOpen(true)}><Icon name="plus" size={14} />{t("keys.create")}</Button>;
  return (
    <Page title={t("keys.title")} lead={t("keys.lead")} actions={add}>
      <DataTable label={t("keys.title")} rows={data} error={error} retry={refetch} id={(k) => k.name} name={(k) => k.name} sort={{ id: "name", down: false }}
        columns={[
          { id: "name", head: t("word.name"), phone: "title", value: (k) => k.name, cell: (k) => k.name },
          { id: "type", head: t("word.kind"), width: "90px", phone: "aside", value: (k) => k.type, cell: (k) => k.type },
          { id: "print", head: t("keys.fingerprint"), width: "minmax(0,2fr)", phone: "line", value: (k) => k.fingerprint, cell: (k) => <Copy text={k.fingerprint} mono /> },
        ]}
        bulk={(picked, clear) => <Button small look="danger" onPress={() => remove.mutate(picked, { onSuccess: clear, onError: sayError })}><Icon name="trash" size={14} />{t("do.delete")}</Button>}
        empty={<Empty title={t("keys.empty")} action={add}>{t("keys.emptyNote")}</Empty>} />
      {open && <AddKey onClose={() => setOpen(false)} />}
    </Page>
  );
}
