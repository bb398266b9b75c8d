import { ApiError } from "~/api/http";
import { useAsk } from "~/api/query";
import { t } from "~/i18n";
import { CodeBlock } from "~/ui/Copy";
import { Empty } from "~/ui/Empty";
import { ErrorNote } from "~/ui/ErrorNote";
import { Page, Section, Waiting } from "~/ui/Page";

/** The configuration as the program reads it: sections of keys, whatever they are called. */
export function Settings() {
  const { data, error, refetch } = useAsk<Record<string, unknown>>(["config"], "/hanok/v1/config");
  const page = (body: React.ReactNode) => <Page title={t("settings.title")} lead={t("settings.lead")}>{body}</Page>;
  if (error instanceof ApiError && error.status === 404) return page(<div className="box"><Empty title={t("settings.absent")}>{t("settings.absentNote")}</Empty></div>);
  if (error) return page(<ErrorNote error={error} retry={refetch} />);
  if (!data) return page(<Waiting />);
  const inner = (typeof data.config === "object" && data.config ? data.config : data) as Record<string, unknown>;
  if (typeof data.config === "string") return page(<CodeBlock label={t("settings.title")} text={data.config} />);
  const plain = Object.entries(inner).filter(([, v]) => typeof v !== "object" || v === null || Array.isArray(v));
  const nested = Object.entries(inner).filter(([, v]) => typeof v === "object" && v !== null && !Array.isArray(v) && Object.keys(v).length > 0) as [string, Record<string, unknown>][];
  return page(
    <div className="grid md:grid-cols-2 gap-8">
      {plain.length > 0 && <Table rows={plain} />}
      {nested.map(([name, section]) => <Section key={name} title={`[${name}]`}><Table rows={Object.entries(section)} /></Section>)}
    </div>,
  );
}

function say(value: unknown): string {
  if (value === null || value === "" || (Array.isArray(value) && value.length === 0)) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function Table({ rows }: { rows: [string, unknown][] }) {
  return (
    <dl className="box font-mono text-[12.5px]">
      {rows.map(([key, value]) => (
        <div key={key} className="flex justify-between gap-6 px-4 py-2 border-b border-line last:border-0">
          <dt className="text-ink2">{key}</dt><dd className="text-right [overflow-wrap:anywhere]">{say(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
