import { common } from "./common";
import { fleet } from "./fleet";
import { network } from "./network";
import { operate } from "./operate";
import { project } from "./project";
import { servers } from "./servers";
import { states } from "./states";
import { words } from "./words";
import { work } from "./work";

/** Everything that the pages say: [English, Korean]. */
export const catalogue = { ...common, ...servers, ...network, ...project, ...fleet, ...operate, ...states, ...words, ...work } as const;
