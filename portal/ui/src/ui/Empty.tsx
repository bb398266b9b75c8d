import type { ReactNode } from "react";
import { Lattice } from "./Lattice";

/** Nothing here yet: what this is for, and the next step. */
export function Empty({ title, children, action }: { title: string; children: ReactNode; action?: ReactNode }) {
  return (
    <div className="flex flex-col items-center text-center px-6 py-14">
      <Lattice width={132} height={92} columns={22} className="w-[132px] text-line2 mb-5" />
      <p className="text-[16px] font-semibold">{title}</p>
      <p className="text-ink2 max-w-[46ch] mt-1.5">{children}</p>
      {action && <div className="mt-5 flex flex-wrap justify-center gap-2">{action}</div>}
    </div>
  );
}
