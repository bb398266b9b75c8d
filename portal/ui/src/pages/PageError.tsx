import type { ErrorComponentProps } from "@tanstack/react-router";
import { Failed } from "~/ui/Boundary";

export function PageError({ error, reset }: ErrorComponentProps) {
  return <div className="mx-auto max-w-[720px] p-6 sm:p-10"><Failed error={error} retry={reset} /></div>;
}
