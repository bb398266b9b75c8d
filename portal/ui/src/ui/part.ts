import { lazy, type ComponentType } from "react";
import { anewOnce, arrive } from "./arrive";

/** A component in a file of its own. */
export function part<P>(load: () => Promise<{ default: ComponentType<P> }>) {
  return lazy(() => arrive(load).catch((error: unknown) => {
    if (anewOnce(error)) return new Promise<never>(() => undefined);
    throw error;
  }));
}
