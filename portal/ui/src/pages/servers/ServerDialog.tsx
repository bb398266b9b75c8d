import { useState } from "react";
import { act, removeServer, renameServer, type ActionId } from "~/api/serverActions";
import { useList } from "~/api/query";
import type { Server } from "~/api/types";
import { t } from "~/i18n";
import { mib } from "~/i18n/format";
import { Choice } from "~/ui/Choice";
import { FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";
import { DeleteServers } from "./DeleteServers";

interface Props { asking: ActionId; server: Server; onClose: () => void; onDeleted?: () => void }

export function ServerDialog(p: Props) {
  switch (p.asking) {
    case "delete":
      return <DeleteServers servers={[p.server]} onClose={p.onClose} run={() => removeServer(p.server.id).then(p.onDeleted)} />;
    case "rename":
      return <Rename {...p} />;
    case "snapshot":
      return <Snapshot {...p} />;
    case "resize":
      return <Resize {...p} />;
    case "rebuild":
      return <Rebuild {...p} />;
    default:
      return null;
  }
}

function Rename({ server, onClose }: Props) {
  const [name, setName] = useState(server.name);
  return (
    <FormDialog title={t("server.do.rename")} open onClose={onClose} action={t("do.save")} ready={name.trim() !== ""} run={() => renameServer(server.id, name.trim())}>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
    </FormDialog>
  );
}

function Snapshot({ server, onClose }: Props) {
  const [name, setName] = useState(`${server.name}-${new Date().toISOString().slice(0, 10)}`);
  return (
    <FormDialog title={t("server.snapshotAsk", { name: server.name })} open onClose={onClose} action={t("server.do.snapshot")} ready={name.trim() !== ""}
      run={() => act(server.id, { createImage: { name: name.trim(), metadata: {} } })}>
      <p className="text-ink2">{t("server.snapshotNote")}</p>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
    </FormDialog>
  );
}

function Resize({ server, onClose }: Props) {
  const flavors = useList("flavor").data ?? [];
  const [flavor, setFlavor] = useState<string | null>(null);
  const options = flavors.filter((f) => f.name !== server.flavor.original_name)
    .map((f) => ({ id: f.id, label: f.name, note: `${t("word.vcpus", { n: f.vcpus })}, ${mib(f.ram)}` }));
  return (
    <FormDialog title={t("server.resizeAsk", { name: server.name })} open onClose={onClose} action={t("server.do.resize")} ready={flavor !== null}
      run={() => act(server.id, { resize: { flavorRef: flavor } })}>
      <p className="text-ink2">{t("server.resizeNote", { now: server.flavor.original_name })}</p>
      <Choice label={t("word.size")} value={flavor} onChange={setFlavor} options={options} placeholder={t("do.choose")} />
    </FormDialog>
  );
}

function Rebuild({ server, onClose }: Props) {
  const images = useList("image").data ?? [];
  const [image, setImage] = useState<string | null>(server.image ? server.image.id : null);
  const options = images.filter((i) => i.status === "active").map((i) => ({ id: i.id, label: i.name }));
  return (
    <FormDialog title={t("server.rebuildAsk", { name: server.name })} open onClose={onClose} action={t("server.do.rebuild")} danger ready={image !== null}
      run={() => act(server.id, { rebuild: { imageRef: image } })}>
      <p className="text-ink2">{t("server.rebuildNote")}</p>
      <Choice label={t("images.one")} value={image} onChange={setImage} options={options} />
    </FormDialog>
  );
}
