import { ago, when } from "~/i18n/format";
import { useNow } from "./hooks";

export function Ago({ time }: { time: string | null | undefined }) {
  const now = useNow(20_000);
  if (!time) return <span className="text-ink3">–</span>;
  return <time dateTime={time} title={when(time)}>{ago(time, now)}</time>;
}
