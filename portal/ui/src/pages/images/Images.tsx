import { useState } from "react";
import { Link } from "@tanstack/react-router";
import { ask } from "~/api/http";
import { useList } from "~/api/query";
import { useSession } from "~/api/session";
import type { Image } from "~/api/types";
import { known, t, type Key } from "~/i18n";
import { bytes } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Button, buttonLook } from "~/ui/Button";
import { Confirm, doomed } from "~/ui/Confirm";
import { Empty } from "~/ui/Empty";
import { useOpen } from "~/ui/hooks";
import { Icon } from "~/ui/icons";
import { Menu } from "~/ui/Menu";
import { Page } from "~/ui/Page";
import { Status } from "~/ui/Status";
import { DataTable } from "~/ui/table/DataTable";
import { sayError } from "~/ui/Toasts";
import { Upload } from "./Upload";
import { Uploads } from "./Uploads";

export function Images() {
  const { data, error, refetch } = useList("image");
  const { project, admin } = useSession();
  const [open, setOpen] = useOpen("new");
  const [going, setGoing] = useState<Image[]>([]);
  const mine = (i: Image) => admin || i.owner === project?.id;
  const seen = (i: Image) => {
    const key = `images.seen.${i.visibility}`;
    return known(key) ? t(key as Key) : i.visibility;
  };
  const patch = (i: Image, visibility: string) => void ask(`/image/v2/images/${i.id}`, {
    method: "PATCH", headers: { "content-type": "application/openstack-images-v2.1-json-patch" }, body: [{ op: "replace", path: "/visibility", value: visibility }],
  }).catch(sayError);
  const upload = <Button look="solid" onPress={() => setOpen(true)}><Icon name="upload" size={14} />{t("images.upload")}</Button>;
  return (
    <Page title={t("images.title")} lead={t("images.lead")} actions={data?.length === 0 ? null : upload}>
      <Uploads />
      <DataTable label={t("images.title")} rows={data} error={error} retry={refetch} id={(i) => i.id} name={(i) => i.name} sort={{ id: "name", down: false }} search={(i) => i.id}
        columns={[
          { id: "name", head: t("word.name"), width: "minmax(0,1.7fr)", phone: "title", value: (i) => i.name, cell: (i) => i.name },
          { id: "state", head: t("word.state"), phone: "aside", value: (i) => i.status, cell: (i) => <Status state={i.status} /> },
          { id: "format", head: t("images.format"), phone: "line", from: 700, value: (i) => i.disk_format ?? "", cell: (i) => i.disk_format ?? "–" },
          { id: "size", head: t("images.size"), width: "120px", end: true, phone: "line", value: (i) => i.size ?? 0, cell: (i) => bytes(i.size) },
          { id: "who", head: t("images.who"), phone: "line", value: seen, cell: seen },
          { id: "made", head: t("word.created"), width: "120px", from: 800, end: true, value: (i) => i.created_at, cell: (i) => <span className="text-ink2"><Ago time={i.created_at} /></span> },
        ]}
        menu={(i) => (
          <Menu label={i.name} acts={[
            { id: "public", label: t("images.makePublic"), icon: "globe", disabled: !admin || i.visibility === "public", run: () => patch(i, "public") },
            { id: "private", label: t("images.makePrivate"), icon: "access", disabled: !mine(i) || i.visibility === "private", run: () => patch(i, "private") },
            { id: "delete", label: t("do.delete"), icon: "trash", danger: true, disabled: !mine(i) || i.protected, run: () => setGoing([i]) },
          ]} />
        )}
        bulk={(picked) => (
          <>
            {picked.length === 1 && <Link to="/servers/new" className={buttonLook("plain", true)}>{t("servers.create")}</Link>}
            <Button small look="danger" isDisabled={!picked.every((i) => mine(i) && !i.protected)} onPress={() => setGoing(picked)}><Icon name="trash" size={14} />{t("do.delete")}</Button>
          </>
        )}
        empty={<Empty title={t("images.empty")} action={upload}>{t("images.emptyNote")}</Empty>} />
      {open && <Upload onClose={() => setOpen(false)} />}
      <Confirm onClose={() => setGoing([])} of={going.length === 0 ? null : {
        ...doomed(going.map((i) => i.name), (name) => t("images.deleteAsk", { name }), (n) => t("images.deleteMany", { n })), note: t("images.deleteNote"),
        run: () => Promise.all(going.map((i) => ask(`/image/v2/images/${i.id}`, { method: "DELETE" }))),
      }} />
    </Page>
  );
}
