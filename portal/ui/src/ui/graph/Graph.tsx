import { useMemo, type KeyboardEvent, type PointerEvent } from "react";
import { t } from "~/i18n";
import { clock } from "~/i18n/format";
import { cx } from "../cx";
import { draw, HEIGHT, nearest, pieces, roof, WIDTH, type Series } from "./shape";

interface Props {
  label: string;
  at: number[];
  series: Series[];
  show: (value: number) => string;
  from: number;
  to: number;
  /** What there is at most; without it the graph is as high as its highest point. */
  top?: number;
  least: number;
  base?: 10 | 2;
  /** The point that is looked at, of all graphs that stand together. */
  look: number | null;
  onLook: (at: number | null) => void;
}

const ink = ["text-giwa", "text-hwang"];

/** Values over time. The words above say the newest, or those at the moment that a pointer or the arrow keys look at. */
export function Graph(p: Props) {
  const most = Math.max(0, ...p.series.flatMap((s) => s.values.map((v) => v ?? 0)));
  const top = p.top ?? roof(most, p.least, p.base ?? 2);
  const lines = useMemo(() => p.series.map((s) => draw(pieces(p.at, s.values), p.from, p.to, top)), [p.series, p.at, p.from, p.to, top]);
  const seen = p.look ?? p.at.length - 1;
  const value = (s: Series) => { const v = s.values[seen]; return v === null || v === undefined ? "–" : p.show(v); };
  const point = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    p.onLook(nearest(p.at, p.from, p.to, (event.clientX - box.left) / box.width));
  };
  const key = (event: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowLeft: seen - 1, ArrowRight: seen + 1, PageUp: seen - 10, PageDown: seen + 10, Home: 0, End: p.at.length - 1 };
    if (event.key === "Escape") p.onLook(null);
    const next = steps[event.key];
    if (next === undefined || p.at.length === 0) return;
    event.preventDefault();
    p.onLook(Math.max(0, Math.min(p.at.length - 1, next)));
  };
  const moment = p.at[seen];
  const words = p.series.map((s) => `${s.name} ${value(s)}`).join(", ");
  const x = moment === undefined ? 0 : ((moment - p.from) / Math.max(1, p.to - p.from)) * 100;
  return (
    <div className="box px-4 pt-3 pb-2.5 min-w-0">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4 mb-2">
        <h3 className="font-semibold">{p.label}</h3>
        <div className="flex flex-wrap items-baseline gap-x-4 text-[13px]">
          {p.series.map((s, i) => (
            <span key={s.name} className="inline-flex items-baseline gap-1.5">
              {p.series.length > 1 && <><span aria-hidden="true" className={cx("inline-block w-3 h-0 border-t-2 self-center", i === 1 && "border-dashed", ink[i])} style={{ borderColor: "currentColor" }} /><span className="text-ink2">{s.name}</span></>}
              <b className="font-semibold">{value(s)}</b>
            </span>
          ))}
        </div>
      </div>
      <div role="slider" tabIndex={0} aria-label={p.label} aria-valuemin={0} aria-valuemax={Math.max(0, p.at.length - 1)} aria-valuenow={Math.max(0, seen)}
        aria-valuetext={moment === undefined ? t("metrics.none") : `${clock(moment)}: ${words}`} onKeyDown={key} onBlur={() => p.onLook(null)}
        onPointerMove={point} onPointerDown={point} onPointerLeave={() => p.onLook(null)} className="relative rounded-[4px] touch-pan-y cursor-crosshair">
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" className="block w-full h-[112px]" aria-hidden="true">
          {[0, 50, 100].map((y) => <path key={y} d={`M0 ${y}H${WIDTH}`} className="text-line" stroke="currentColor" vectorEffect="non-scaling-stroke" />)}
          {lines.map((l, i) => (
            <g key={p.series[i]!.name} className={ink[i]}>
              {i === 0 && <path d={l.area} fill="currentColor" fillOpacity=".1" />}
              <path d={l.line} fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinejoin="round" vectorEffect="non-scaling-stroke" strokeDasharray={i === 1 ? "5 3" : undefined} />
            </g>
          ))}
        </svg>
        {p.look !== null && moment !== undefined && <span aria-hidden="true" className="absolute inset-y-0 w-px bg-ink3 pointer-events-none" style={{ left: `${x}%` }} />}
        <span aria-hidden="true" className="absolute left-0 top-0 text-[11px] leading-none text-ink3 bg-surface pr-1 pb-0.5 pointer-events-none">{p.show(top)}</span>
      </div>
      <div className="flex justify-between label mt-1" aria-hidden="true">
        <span>{clock(p.from)}</span>
        {p.look !== null && moment !== undefined && <span className="text-ink">{clock(moment)}</span>}
        <span>{clock(p.to)}</span>
      </div>
    </div>
  );
}
