import { useState, type ReactNode } from "react";
import type { Flavor, Image, Network } from "~/api/types";
import { t } from "~/i18n";
import { mib, number } from "~/i18n/format";
import { Button } from "~/ui/Button";
import { CodeBlock } from "~/ui/Copy";
import { Meter } from "~/ui/Page";
import { asCommand, asTerraform, type Limits, type Wish } from "./wish";

interface Props { wish: Wish; image?: Image; flavor?: Flavor; networks: Network[]; limits: Limits; children: ReactNode }

/** What the project will hold afterwards, and the same wish in the words of other tools. */
export function Summary({ wish, image, flavor, networks, limits, children }: Props) {
  const [tool, setTool] = useState<"cli" | "terraform">("cli");
  const names = {
    image: image?.name ?? "IMAGE", flavor: flavor?.name ?? "FLAVOR",
    networks: wish.networks.map((id) => networks.find((n) => n.id === id)?.name ?? id),
  };
  const n = flavor ? wish.count : 0;
  return (
    <aside className="lg:sticky lg:top-[76px] flex flex-col gap-5 min-w-0">
      <div className="box p-5 flex flex-col gap-4">
        <p className="font-semibold">{t("create.after")}</p>
        <Meter label={t("servers.title")} used={limits.totalInstancesUsed + n} total={limits.maxTotalInstances} show={number} />
        <Meter label={t("word.cores")} used={limits.totalCoresUsed + n * (flavor?.vcpus ?? 0)} total={limits.maxTotalCores} show={number} />
        <Meter label={t("word.memory")} used={limits.totalRAMUsed + n * (flavor?.ram ?? 0)} total={limits.maxTotalRAMSize} show={mib} />
        {children}
      </div>
      <div className="min-w-0">
        <div className="flex items-center gap-1 mb-2">
          <span className="label mr-auto">{t("create.same")}</span>
          <Button small look={tool === "cli" ? "plain" : "quiet"} aria-pressed={tool === "cli"} onPress={() => setTool("cli")}>openstack</Button>
          <Button small look={tool === "terraform" ? "plain" : "quiet"} aria-pressed={tool === "terraform"} onPress={() => setTool("terraform")}>Terraform</Button>
        </div>
        <CodeBlock label={t("create.same")} text={tool === "cli" ? asCommand(wish, names) : asTerraform(wish, names)} />
      </div>
    </aside>
  );
}
