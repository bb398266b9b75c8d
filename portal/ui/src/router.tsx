import { createRootRoute, createRoute, createRouter, lazyRouteComponent, type RouteComponent } from "@tanstack/react-router";
import type { ComponentType } from "react";
import { PageError } from "./pages/PageError";
import { NotFound } from "./pages/NotFound";
import { Shell } from "./shell/Shell";
import { arrive } from "./ui/arrive";
import { Waiting } from "./ui/Page";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

/** Each page is a file of its own that comes when it is first looked at. */
function page<M extends Record<string, unknown>>(path: string, load: () => Promise<M>, name: keyof M & string) {
  return createRoute({
    getParentRoute: () => root, path,
    component: lazyRouteComponent(() => arrive(load as () => Promise<Record<string, ComponentType>>), name) as RouteComponent,
  });
}

const routes = [
  page("/", () => import("./pages/home/Home"), "Home"),
  page("/servers", () => import("./pages/servers/Servers"), "Servers"),
  page("/servers/new", () => import("./pages/create/CreateServer"), "CreateServer"),
  page("/servers/$id", () => import("./pages/server/ServerPage"), "ServerPage"),
  page("/images", () => import("./pages/images/Images"), "Images"),
  page("/keys", () => import("./pages/project/Keys"), "Keys"),
  page("/networks", () => import("./pages/network/Networks"), "Networks"),
  page("/networks/$id", () => import("./pages/network/NetworkPage"), "NetworkPage"),
  page("/routers/$id", () => import("./pages/network/RouterPage"), "RouterPage"),
  page("/floating-ips", () => import("./pages/network/FloatingIps"), "FloatingIps"),
  page("/security-groups", () => import("./pages/network/Groups"), "Groups"),
  page("/security-groups/$id", () => import("./pages/network/GroupPage"), "GroupPage"),
  page("/topology", () => import("./pages/topology/Topology"), "Topology"),
  page("/team", () => import("./pages/project/Team"), "Team"),
  page("/activity", () => import("./pages/project/Activity"), "Activity"),
  page("/quota", () => import("./pages/project/Quota"), "QuotaPage"),
  page("/account", () => import("./pages/account/Account"), "Account"),
  page("/access", () => import("./pages/project/Access"), "Access"),
  page("/fleet", () => import("./pages/fleet/Fleet"), "Fleet"),
  page("/fleet/hosts", () => import("./pages/fleet/Hosts"), "Hosts"),
  page("/fleet/hosts/$id", () => import("./pages/fleet/HostPage"), "HostPage"),
  page("/fleet/machines", () => import("./pages/fleet/Machines"), "Machines"),
  page("/fleet/machines/$id", () => import("./pages/fleet/MachinePage"), "MachinePage"),
  page("/fleet/zones", () => import("./pages/fleet/Zones"), "Zones"),
  page("/fleet/physical", () => import("./pages/fleet/Physical"), "Physical"),
  page("/fleet/racks", () => import("./pages/fleet/Racks"), "Racks"),
  page("/fleet/jobs", () => import("./pages/fleet/Jobs"), "Jobs"),
  page("/fleet/audit", () => import("./pages/fleet/Audit"), "Audit"),
  page("/fleet/projects", () => import("./pages/fleet/Projects"), "Projects"),
  page("/fleet/users", () => import("./pages/fleet/Users"), "Users"),
  page("/fleet/flavors", () => import("./pages/fleet/Flavors"), "Flavors"),
  page("/fleet/settings", () => import("./pages/fleet/Settings"), "Settings"),
  page("/fleet/doctor", () => import("./pages/fleet/Doctor"), "Doctor"),
];

export const router = createRouter({
  routeTree: root.addChildren(routes),
  defaultPreload: "intent",
  defaultPreloadDelay: 40,
  defaultPendingMs: 200,
  defaultPendingComponent: () => <div className="mx-auto max-w-[1180px] p-8"><Waiting /></div>,
  defaultErrorComponent: PageError,
  scrollRestoration: true,
});
