import { useAsk } from "~/api/query";
import { useSession } from "~/api/session";
import { known, t, type Key } from "~/i18n";
import { bytes, mib, number } from "~/i18n/format";
import { ErrorNote } from "~/ui/ErrorNote";
import { Meter, Page, Section, Waiting } from "~/ui/Page";
import type { Limits } from "../create/wish";

interface NetQuota { quota: Record<string, { limit: number; used: number }> }
interface ImageUsage { usage: Record<string, { limit: number; usage: number }> }

const MIB = 1024 * 1024;

/** All that a project may hold and holds, from the three services that count. */
export function QuotaPage() {
  const { project } = useSession();
  const compute = useAsk<{ limits: { absolute: Limits } }>(["limits"], "/compute/v2.1/limits");
  const network = useAsk<NetQuota>(["netquota"], project && `/network/v2.0/quotas/${project.id}/details.json`);
  const image = useAsk<ImageUsage>(["imagequota"], "/image/v2/info/usage");
  const l = compute.data?.limits.absolute;
  const word = (name: string) => (known(`quota.${name}`) ? t(`quota.${name}` as Key) : name);
  return (
    <Page title={t("quota.title")} lead={t("quota.lead")}>
      <div className="grid md:grid-cols-2 xl:grid-cols-3 gap-8">
        <Section title={t("nav.compute")}>
          <div className="box p-5 flex flex-col gap-5">
            {compute.error && <ErrorNote error={compute.error} />}
            {l ? (
              <>
                <Meter label={t("servers.title")} used={l.totalInstancesUsed} total={l.maxTotalInstances} show={number} />
                <Meter label={t("word.cores")} used={l.totalCoresUsed} total={l.maxTotalCores} show={number} />
                <Meter label={t("word.memory")} used={l.totalRAMUsed} total={l.maxTotalRAMSize} show={mib} />
              </>
            ) : !compute.error && <Waiting />}
          </div>
        </Section>
        <Section title={t("nav.network")}>
          <div className="box p-5 flex flex-col gap-5">
            {network.error && <ErrorNote error={network.error} />}
            {Object.entries(network.data?.quota ?? {}).filter(([name]) => known(`quota.${name}`)).map(([name, q]) => <Meter key={name} label={word(name)} used={q.used} total={q.limit} show={number} />)}
          </div>
        </Section>
        <Section title={t("images.title")}>
          <div className="box p-5 flex flex-col gap-5">
            {image.error && <ErrorNote error={image.error} />}
            {Object.entries(image.data?.usage ?? {}).filter(([, q]) => q.limit >= 0 || q.usage > 0).map(([name, q]) => <Meter key={name} label={word(name)} used={q.usage} total={q.limit} show={/size|staging/.test(name) ? (n) => bytes(n * MIB) : number} />)}
          </div>
        </Section>
      </div>
    </Page>
  );
}
