import { useState, type DragEvent } from "react";
import { useSession } from "~/api/session";
import { t } from "~/i18n";
import { bytes } from "~/i18n/format";
import { Choice } from "~/ui/Choice";
import { cx } from "~/ui/cx";
import { FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";
import { formatOf, start } from "./upload";

const formats = ["qcow2", "raw", "vmdk", "vdi", "vhdx", "iso"];

export function Upload({ onClose }: { onClose: () => void }) {
  const { admin } = useSession();
  const [file, setFile] = useState<File | null>(null);
  const [name, setName] = useState("");
  const [format, setFormat] = useState("qcow2");
  const [visibility, setVisibility] = useState("private");
  const [over, setOver] = useState(false);
  const take = async (next: File | undefined) => {
    if (!next) return;
    setFile(next);
    setName((was) => was || next.name.replace(/\.(qcow2|img|raw|iso|vmdk|vdi|vhdx)$/i, ""));
    // One that cannot be read says so when it is sent.
    setFormat(await formatOf(next).catch(() => "raw"));
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void take(event.dataTransfer.files[0]);
  };
  return (
    <FormDialog title={t("images.upload")} open onClose={onClose} action={t("images.uploadDo")} ready={file !== null && file.size > 0 && name.trim() !== ""}
      run={() => start({ name: name.trim(), format, file: file!, minDisk: 0, visibility })}>
      <label onDragOver={(e) => (e.preventDefault(), setOver(true))} onDragLeave={() => setOver(false)} onDrop={drop}
        className={cx("flex flex-col items-center justify-center gap-1 min-h-32 rounded-[9px] border border-dashed px-4 text-center focus-within:outline-2 outline-giwa", over ? "border-giwa bg-giwa-soft" : "border-line2 hover:border-ink3")}>
        <Icon name="upload" size={22} className="text-ink3" />
        <span className="font-semibold">{file ? file.name : t("images.drop")}</span>
        <span className="label">{file ? bytes(file.size) : t("images.dropNote")}</span>
        <input type="file" className="sr-only" aria-label={t("images.drop")} onChange={(e) => void take(e.target.files?.[0])} />
      </label>
      <Field label={t("word.name")} value={name} onChange={setName} />
      <div className="grid grid-cols-2 gap-4">
        <Choice label={t("images.format")} value={format} onChange={setFormat} options={formats.map((id) => ({ id, label: id }))} />
        <Choice label={t("images.who")} value={visibility} onChange={setVisibility}
          options={[{ id: "private", label: t("images.seen.private") }, { id: "shared", label: t("images.seen.shared") }, ...(admin ? [{ id: "public", label: t("images.seen.public") }] : [])]} />
      </div>
    </FormDialog>
  );
}
