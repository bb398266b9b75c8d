import type { ErrorComponentProps } from "@tanstack/react-router";
import { ErrorNote } from "~/ui/ErrorNote";

export function PageError({ error, reset }: ErrorComponentProps) {
  return <div className="mx-auto max-w-[720px] p-6 sm:p-10"><ErrorNote error={error} retry={reset} /></div>;
}
