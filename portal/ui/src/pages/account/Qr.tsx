import { useMemo } from "react";
import { encode } from "uqr";

/** Modules around the code that have to stay light (ISO/IEC 18004). */
const QUIET = 4;

/** A QR code, drawn here: dark on light in either appearance, as cameras want it. */
export function Qr({ text, label }: { text: string; label: string }) {
  const { size, path } = useMemo(() => {
    const code = encode(text, { ecc: "M", border: QUIET });
    const path = code.data.map((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")).join("")).join("");
    return { size: code.size, path };
  }, [text]);
  return (
    <svg role="img" aria-label={label} viewBox={`0 0 ${size} ${size}`} shapeRendering="crispEdges" className="w-full max-w-[220px] aspect-square rounded-[8px] border border-line2 bg-[#fff] text-[#000]">
      <path fill="currentColor" d={path} />
    </svg>
  );
}
