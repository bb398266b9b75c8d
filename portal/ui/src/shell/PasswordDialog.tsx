import { useState } from "react";
import { ApiError } from "~/api/http";
import { changePassword } from "~/api/password";
import { useHolder, useSession } from "~/api/session";
import { t } from "~/i18n";
import { FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";

/** Nobody is signed out by it, which a 401 says elsewhere. */
function refused(error: unknown): never {
  throw error instanceof ApiError && error.status === 401 ? new ApiError(400, "", t("password.wrong"), error.requestId, error.what) : error;
}

export function PasswordDialog({ onClose }: { onClose: () => void }) {
  const { user } = useSession();
  const { signOut } = useHolder();
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  return (
    <FormDialog title={t("password.change")} open onClose={onClose} action={t("do.save")} ready={old !== "" && next !== ""}
      // A change ends all sessions, this one too: better with a word than when something is refused next.
      run={() => changePassword(user.id, old, next).catch(refused).then(() => signOut("changed"))}>
      <Field label={t("password.old")} value={old} onChange={setOld} type="password" autoComplete="current-password" autoFocus />
      <Field label={t("password.new")} value={next} onChange={setNext} type="password" autoComplete="new-password" />
    </FormDialog>
  );
}
