// What was read stays true until the event stream says otherwise: nothing is asked again by the clock.
import { QueryClient, useMutation, useQuery } from "@tanstack/react-query";
import { ApiError, ask } from "./http";
import { fetchItem, fetchList, kinds, type Kind, type Kinds, type Scope } from "./kinds";
import { project } from "./scope";

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Infinity,
      gcTime: 10 * 60_000,
      refetchOnWindowFocus: false,
      networkMode: "always",
      // Only silence is worth another try; what a service said it would say again.
      retry: (tries, error) => error instanceof ApiError && (error.lost || error.status === 503) && tries < 4,
      retryDelay: (tries) => Math.min(500 * 2 ** tries, 5000),
    },
    mutations: { networkMode: "always" },
  },
});

export function useList<K extends Kind>(kind: K, scope: Scope = "mine", enabled = true) {
  return useQuery<Kinds[K][]>({
    queryKey: ["list", kind, scope],
    queryFn: ({ signal }) => fetchList(kind, scope, project(), signal),
    // Whoever is in no project has nothing, and would be refused.
    enabled: enabled && project() !== null,
  });
}

export function useItem<K extends Kind>(kind: K, id: string) {
  return useQuery<Kinds[K]>({
    queryKey: ["item", kind, id],
    queryFn: ({ signal }) => fetchItem(kind, id, signal),
    initialData: () => {
      const lists = queries.getQueriesData<Kinds[K][]>({ queryKey: ["list", kind] });
      const def = kinds[kind];
      for (const [, list] of lists) {
        const found = list?.find((x) => def.id(x) === id);
        if (found) return found;
      }
      return undefined;
    },
    // A row of a list may lack what only the whole thing tells (a fault, say).
    initialDataUpdatedAt: 0,
    staleTime: 0,
    refetchOnMount: "always",
  });
}

export function useAsk<T>(key: unknown[], path: string | null, headers?: Record<string, string>) {
  return useQuery<T>({
    queryKey: key,
    queryFn: ({ signal }) => ask<T>(path ?? "", { signal, headers }),
    enabled: path !== null,
  });
}

/** A change, then the lists that it touches, for when the event stream is away. */
export function useChange<In, Out>(run: (input: In) => Promise<Out>, touches: Kind[] = []) {
  return useMutation<Out, Error, In>({
    mutationFn: run,
    onSuccess: () => touches.forEach((kind) => void queries.invalidateQueries({ queryKey: ["list", kind] })),
  });
}
