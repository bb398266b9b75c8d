import type { ReactNode } from "react";
import { explain } from "~/api/errors";
import { t } from "~/i18n";
import { Button } from "./Button";
import { Copy } from "./Copy";
import { Icon } from "./icons";

/** What happened, in the service's own words; what to do; the request id to quote; beside it, what helps. */
export function ErrorNote({ error, retry, children }: { error: unknown; retry?: () => void; children?: ReactNode }) {
  const { title, message, advice, requestId } = explain(error);
  return (
    <div role="alert" className="rounded-[8px] border border-[color-mix(in_srgb,var(--seokganju)_35%,transparent)] bg-seokganju-soft px-4 py-3 flex flex-wrap gap-x-3 gap-y-2">
      <Icon name="warn" className="mt-1 text-seokganju" />
      {/* On a phone what helps stands below, so that the words keep their width. */}
      <div className="min-w-0 flex-1 basis-56">
        <p className="font-semibold">{title}</p>
        {message && <p className="[overflow-wrap:anywhere]">{message}</p>}
        <p className="text-ink2">{advice}</p>
        {requestId && <p className="mt-1 text-[12px] text-ink2">{t("error.quote")} <Copy text={requestId} mono /></p>}
      </div>
      {retry && <Button small onPress={retry}><Icon name="again" size={14} />{t("do.retry")}</Button>}
      {children}
    </div>
  );
}
