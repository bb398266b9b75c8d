import { useState } from "react";
import { changePassword } from "~/api/password";
import { useSession } from "~/api/session";
import { t } from "~/i18n";
import { FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";
import { say } from "~/ui/Toasts";

export function PasswordDialog({ onClose }: { onClose: () => void }) {
  const { user } = useSession();
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  return (
    <FormDialog title={t("password.change")} open onClose={onClose} action={t("do.save")} ready={old !== "" && next !== ""}
      run={() => changePassword(user.id, old, next).then(() => say(t("password.done")))}>
      <Field label={t("password.old")} value={old} onChange={setOld} type="password" autoComplete="current-password" autoFocus />
      <Field label={t("password.new")} value={next} onChange={setNext} type="password" autoComplete="new-password" />
    </FormDialog>
  );
}
