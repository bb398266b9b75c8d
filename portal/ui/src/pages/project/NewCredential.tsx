import { useRef, useState } from "react";
import { ask } from "~/api/http";
import { useSession } from "~/api/session";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { CodeBlock } from "~/ui/Copy";
import { Dialog, FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";
import { save, type Credential } from "./Access";
import { asCloudsYaml } from "./clouds";

const DAYS = ["30", "90", "365", "0"];

/** Its secret is told once, in the form in which it is used: a clouds.yaml. */
export function NewCredential({ path, onClose, onMade }: { path: string; onClose: () => void; onMade: () => void }) {
  const { user, project, region } = useSession();
  const [name, setName] = useState("");
  const [days, setDays] = useState("365");
  const [made, setMade] = useState<Credential | null>(null);
  const keepOpen = useRef(false);
  const run = async () => {
    const expires_at = days === "0" ? undefined : new Date(Date.now() + Number(days) * 864e5).toISOString().replace("Z", "000");
    const body = { application_credential: { name: name.trim(), ...(expires_at ? { expires_at } : {}) } };
    const answer = await ask<{ application_credential: Credential }>(path, { method: "POST", body });
    keepOpen.current = true;
    setMade(answer.application_credential);
    onMade();
  };
  if (made) {
    const yaml = asCloudsYaml({ origin: location.origin, region, user: user.name, project: project?.name ?? "", credential: { id: made.id, secret: made.secret ?? "" } });
    return (
      <Dialog title={t("access.saveNow")} open onClose={onClose} wide>
        <p className="text-ink2 mb-3">{t("access.saveNote")}</p>
        <CodeBlock text={yaml} label="clouds.yaml" />
        <div className="flex justify-end gap-2 mt-4"><Button onPress={onClose}>{t("do.close")}</Button><Button look="solid" onPress={() => save(yaml)}><Icon name="download" size={14} />clouds.yaml</Button></div>
      </Dialog>
    );
  }
  return (
    <FormDialog title={t("access.create")} open onClose={() => keepOpen.current || onClose()} action={t("access.create")} ready={name.trim() !== ""} run={run}>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus placeholder="terraform" />
      <Choice label={t("access.until")} value={days} onChange={setDays} options={DAYS.map((id) => ({ id, label: id === "0" ? t("access.forever") : t("access.days", { n: Number(id) }) }))} />
    </FormDialog>
  );
}
