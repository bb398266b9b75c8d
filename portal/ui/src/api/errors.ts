// An error in three parts: what happened, why (the service's own words), what to do next.
import { t, type Key } from "~/i18n";
import { quoted } from "~/i18n/quote";
import { isBroken, NotArrived } from "~/ui/arrive";
import { ApiError } from "./http";

export interface Explained { title: string; message: string; advice: string; requestId: string | null }

export function explain(error: unknown): Explained {
  if (error instanceof NotArrived || isBroken(error)) {
    return { title: t("error.part"), message: "", advice: t(error instanceof NotArrived ? "error.lostDo" : "error.partDo"), requestId: null };
  }
  if (!(error instanceof ApiError)) {
    return { title: t("error.page"), message: error instanceof Error ? error.message : String(error), advice: t("error.pageDo"), requestId: null };
  }
  const kind = kindOf(error);
  return { title: t(`error.${kind}` as Key), message: quoted(error.message), advice: t(`error.${kind}Do` as Key), requestId: error.requestId };
}

function kindOf(error: ApiError): string {
  const { status, message } = error;
  if (status === 0) return "lost";
  if (/quota|exceeded/i.test(message) && [400, 403, 409, 413, 429].includes(status)) return "quota";
  if (status === 400 || status === 422) return "input";
  if (status === 401) return "signedOut";
  if (status === 403) return "forbidden";
  if (status === 404) return "missing";
  if (status === 409) return "conflict";
  if (status === 413) return "large";
  if (status === 429) return "often";
  if (status === 501) return "later";
  return status === 503 ? "busy" : "ours";
}
