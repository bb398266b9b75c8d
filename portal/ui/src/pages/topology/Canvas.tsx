import { useNavigate } from "@tanstack/react-router";
import { Background, BackgroundVariant, BaseEdge, Controls, EdgeLabelRenderer, getSmoothStepPath, Handle, Position, ReactFlow, type Connection, type Edge, type EdgeProps, type Node, type NodeProps } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useEffect, useMemo, useState, type KeyboardEvent } from "react";
import { ask } from "~/api/http";
import type { Subnet } from "~/api/types";
import { t } from "~/i18n";
import { isDark } from "~/shell/theme";
import { FormDialog } from "~/ui/Dialog";
import { Icon } from "~/ui/icons";
import { useNarrow } from "~/ui/media";
import { Dot, toneOf } from "~/ui/Status";
import { meaning, WIDE, type Plan, type Spot } from "./layout";

type SpotNode = Node<{ spot: Spot }, "spot">;

const look: Record<Spot["kind"], string> = {
  network: "bg-giwa text-on-giwa rounded-[9px]",
  router: "bg-surface border border-giwa rounded-full",
  server: "bg-surface border border-line2 rounded-[9px]",
};
const address = { network: "/networks", router: "/routers", server: "/servers" };

function SpotView({ data: { spot } }: NodeProps<SpotNode>) {
  const quiet = spot.kind === "network" ? "opacity-80" : "text-ink3";
  const dot = "!size-2.5 !bg-line2 !border-2 !border-[var(--surface)] hover:!bg-seokganju hover:!size-3.5";
  return (
    <div style={{ width: WIDE }} className={`${look[spot.kind]} px-4 py-2 shadow-low ${spot.outside ? "!bg-sunk !text-ink border border-dashed border-line2" : ""}`}>
      <Handle type="target" position={Position.Top} className={dot} />
      <p className="flex items-center gap-2 leading-tight">
        {spot.kind === "server" ? <Dot tone={toneOf(spot.state)} /> : <Icon name={spot.kind === "router" ? "topology" : spot.outside ? "globe" : "network"} />}
        <b className="font-semibold truncate">{spot.label}</b>
      </p>
      {spot.note && <p className={`font-mono text-[11px] truncate ${quiet}`}>{spot.note}</p>}
      <Handle type="source" position={Position.Bottom} className={dot} />
    </div>
  );
}
const nodeTypes = { spot: SpotView };

/** Its address stands at its lower end, above every line: in the middle others cross it. */
function WireView({ label, ...line }: EdgeProps) {
  const [path] = getSmoothStepPath(line);
  return (
    <>
      <BaseEdge path={path} style={{ stroke: "var(--line2)", strokeWidth: 1.5 }} />
      {label && (
        <EdgeLabelRenderer>
          <span className="absolute px-1 rounded bg-surface text-ink2 font-mono text-[10.5px]" style={{ transform: `translate(-50%, -50%) translate(${line.targetX}px, ${line.targetY - 24}px)` }}>{label}</span>
        </EdgeLabelRenderer>
      )}
    </>
  );
}
const edgeTypes = { wire: WireView };

export default function Canvas({ plan, subnets }: { plan: Plan; subnets: Subnet[] }) {
  const navigate = useNavigate();
  // On a phone what is drawn has to be read: it is moved by a finger rather than shrunk.
  const narrow = useNarrow();
  const [moved, setMoved] = useState<Record<string, { x: number; y: number }>>({});
  const [wish, setWish] = useState<ReturnType<typeof meaning>>(null);
  const [dark, setDark] = useState(isDark());
  useEffect(() => {
    const watch = new MutationObserver(() => setDark(isDark()));
    watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => watch.disconnect();
  }, []);
  const nodes = useMemo<SpotNode[]>(() => plan.spots.map((spot) => ({
    id: spot.id, type: "spot", position: moved[spot.id] ?? { x: spot.x, y: spot.y }, data: { spot }, ariaLabel: spot.label,
  })), [plan, moved]);
  const edges = useMemo<Edge[]>(() => plan.wires.map((w) => {
    // Lines run downwards: from what stands higher to what stands lower.
    const [a, b] = [plan.spots.find((s) => s.id === w.from), plan.spots.find((s) => s.id === w.to)];
    const down = (a?.y ?? 0) < (b?.y ?? 0);
    return { id: w.id, source: down ? w.from : w.to, target: down ? w.to : w.from, label: w.note || undefined, type: "wire" };
  }), [plan]);
  const connect = (c: Connection) => setWish(meaning(plan, c.source, c.target));
  const run = async () => {
    if (!wish) return;
    if (wish.verb === "plug") await ask(`/compute/v2.1/servers/${wish.device.id}/os-interface`, { method: "POST", body: { interfaceAttachment: { net_id: wish.network.id } } });
    else await ask(`/network/v2.0/routers/${wish.device.id}/add_router_interface`, { method: "PUT", body: { subnet_id: subnets.find((s) => s.network_id === wish.network.id)?.id } });
  };
  const go = (id: string) => {
    const spot = plan.spots.find((s) => s.id === id);
    if (spot) void navigate({ href: `${address[spot.kind]}/${id}` });
  };
  const open = (event: KeyboardEvent<HTMLElement>) => {
    const { id } = (event.target as HTMLElement).dataset;
    if (event.key === "Enter" && id) go(id);
  };
  const title = !wish ? "" : wish.verb === "plug"
    ? t("topology.plug", { server: wish.device.label, network: wish.network.label }) : t("topology.join", { router: wish.device.label, network: wish.network.label });
  return (
    <>
      <ReactFlow nodes={nodes} edges={edges} nodeTypes={nodeTypes} edgeTypes={edgeTypes} colorMode={dark ? "dark" : "light"} fitView fitViewOptions={{ maxZoom: 1, padding: 0.12, minZoom: narrow ? 0.62 : 0.2 }} minZoom={0.2}
        onConnect={connect} isValidConnection={(c) => meaning(plan, c.source, c.target) !== null} connectionMode={"loose" as never}
        onNodesChange={(changes) => changes.forEach((c) => c.type === "position" && c.position && setMoved((was) => ({ ...was, [c.id]: c.position! })))}
        onNodeDoubleClick={(_, node) => go(node.id)}
        edgesFocusable={false} onKeyDown={open} proOptions={{ hideAttribution: true }} style={{ background: "var(--surface)" }}>
        <Background variant={BackgroundVariant.Lines} gap={28} color="color-mix(in srgb, var(--line) 45%, transparent)" />
        <Controls showInteractive={false} />
      </ReactFlow>
      <FormDialog title={title} open={wish !== null} onClose={() => setWish(null)} action={t("fips.attachDo")} run={run} />
    </>
  );
}
