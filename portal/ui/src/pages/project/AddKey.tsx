import { useRef, useState } from "react";
import { ask } from "~/api/http";
import { queries } from "~/api/query";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { CodeBlock } from "~/ui/Copy";
import { Dialog, FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";
import { sayError } from "~/ui/Toasts";
import { generate } from "./sshkey";

/** Either a public key that the user has, or a new pair whose private half is made in this page and never sent. */
export function AddKey({ onClose, onMade }: { onClose: () => void; onMade?: (name: string) => void }) {
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const [secret, setSecret] = useState<string | null>(null);
  const [made, setMade] = useState(false);
  const keepOpen = useRef(false);
  const make = async () => {
    const pair = await generate(name.trim() || "hanok");
    setText(pair.publicKey);
    setSecret(pair.privateKey);
  };
  const run = async () => {
    await ask("/compute/v2.1/os-keypairs", { method: "POST", body: { keypair: { name: name.trim(), type: "ssh", public_key: text.trim() } } });
    await queries.invalidateQueries({ queryKey: ["list", "keypair"] });
    onMade?.(name.trim());
    if (!secret) return;
    keepOpen.current = true;
    setMade(true);
  };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([secret ?? ""], { type: "application/x-pem-file" }));
    link.download = `${name.trim()}.pem`;
    link.click();
  };
  if (made) {
    return (
      <Dialog title={t("keys.saveNow")} open onClose={onClose} wide>
        <p className="text-ink2 mb-3">{t("keys.saveNote")}</p>
        <CodeBlock text={secret ?? ""} label={t("keys.private")} />
        <div className="flex justify-end gap-2 mt-4"><Button onPress={onClose}>{t("do.close")}</Button><Button look="solid" onPress={save}><Icon name="download" size={14} />{t("do.download")}</Button></div>
      </Dialog>
    );
  }
  return (
    <FormDialog title={t("keys.create")} open onClose={() => keepOpen.current || onClose()} action={t("keys.create")} run={run} ready={name.trim() !== "" && text.trim() !== ""} wide>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
      <Field label={t("keys.public")} value={text} onChange={(v) => (setText(v), setSecret(null))} rows={4} mono placeholder="ssh-ed25519 AAAA… me@home" note={t("keys.publicNote")} />
      {crypto.subtle && <p className="flex items-center gap-3 text-ink2"><Button small onPress={() => void make().catch(sayError)}>{t("keys.generate")}</Button><span className="label">{t("keys.generateNote")}</span></p>}
    </FormDialog>
  );
}
