import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeEach, expect, test, vi } from "vitest";
import { settle } from "./events";
import { ApiError, ask, failure, setCsrf, headersFor, whenSession } from "./http";
import { explain } from "./errors";
import { changePassword, expiredFor } from "./password";
import { queries } from "./query";
import { setProject } from "./scope";
import type { Server } from "./types";

const server = (id: string, status = "ACTIVE", tenant_id = "p") => ({ id, name: id, status, tenant_id }) as Server;
const answer = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });

beforeEach(() => {
  queries.clear();
  setProject("p");
  vi.unstubAllGlobals();
});

test("every API's way to wrap an error is read", () => {
  expect(failure(409, { NeutronError: { type: "X", message: "In use." } }, "", "req-1", "").message).toBe("In use.");
  expect(failure(400, { badRequest: { code: 400, message: "No." } }, "", null, "").message).toBe("No.");
  expect(failure(401, { error: { code: 401, title: "Unauthorized", message: "Who?" } }, "", null, "").message).toBe("Who?");
  expect(failure(500, undefined, "<html>", null, "").message).toBe("");
});

test("a refusal for quota is explained as one, whatever its code", () => {
  expect(explain(failure(403, { forbidden: { code: 403, message: "Quota exceeded for cores" } }, "", "req-9", ""))).toMatchObject({ requestId: "req-9", title: "The quota is used up" });
});

test("what changes something carries the session's word, and compute its version", () => {
  setCsrf("w");
  expect(headersFor("/compute/v2.1/servers", "POST")).toMatchObject({ "x-hanok-csrf": "w", "openstack-api-version": "compute 2.96" });
  expect(headersFor("/image/v2/images", "GET")).not.toHaveProperty("x-hanok-csrf");
});

test("a change fetches that one thing and puts it into the list", async () => {
  queries.setQueryData(["list", "server", "mine"], [server("a"), server("b")]);
  const fetched = vi.fn(() => Promise.resolve(answer(200, { server: server("b", "SHUTOFF") })));
  vi.stubGlobal("fetch", fetched);
  settle([{ kind: "server", id: "b", what: "updated" }, { kind: "server", id: "b", what: "updated" }]);
  await vi.waitFor(() => expect(queries.getQueryData<Server[]>(["list", "server", "mine"])?.[1]?.status).toBe("SHUTOFF"));
  expect(fetched).toHaveBeenCalledTimes(1);
});

test("what is gone leaves the list, whether the stream says so or the service", async () => {
  queries.setQueryData(["list", "server", "mine"], [server("a"), server("b")]);
  vi.stubGlobal("fetch", () => Promise.resolve(answer(404, {})));
  settle([{ kind: "server", id: "a", what: "deleted" }, { kind: "server", id: "b", what: "updated" }]);
  await vi.waitFor(() => expect(queries.getQueryData(["list", "server", "mine"])).toEqual([]));
});

test("another project's server does not enter this project's list", async () => {
  queries.setQueryData(["list", "server", "mine"], []);
  queries.setQueryData(["list", "server", "all"], []);
  vi.stubGlobal("fetch", () => Promise.resolve(answer(200, { server: server("x", "ACTIVE", "other") })));
  settle([{ kind: "server", id: "x", what: "created" }]);
  await vi.waitFor(() => expect(queries.getQueryData<Server[]>(["list", "server", "all"])).toHaveLength(1));
  expect(queries.getQueryData(["list", "server", "mine"])).toEqual([]);
});

test("an expired password is told from a wrong one, and whose it is", () => {
  const refusal = (message: string) => failure(401, { error: { message } }, "", null, "");
  expect(expiredFor(refusal("The password is expired and needs to be changed for user: 0123456789abcdef0123456789abcdef."))).toBe("0123456789abcdef0123456789abcdef");
  expect(expiredFor(refusal("This name and password do not fit together"))).toBeNull();
});

test("what is refused ends the session only where the session is refused as well", async () => {
  const heard = vi.fn();
  whenSession(heard);
  let good = true;
  vi.stubGlobal("fetch", (path: string) => Promise.resolve(path === "/hanok/v1/session" && good ? answer(200, { csrf: "w" }) : answer(401, {})));
  const wrong = () => expect(changePassword("u", "not it", "next")).rejects.toMatchObject({ status: 401 });
  await wrong();
  await vi.waitFor(() => expect(heard).toHaveBeenLastCalledWith({ csrf: "w" }));
  good = false;
  await wrong();
  await vi.waitFor(() => expect(heard).toHaveBeenLastCalledWith(null));
  whenSession(() => {});
});

test("an answer that is broken off in the middle is no answer, and so is asked for again", async () => {
  const halves = createServer((_, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write('{"servers":');
    setImmediate(() => response.destroy());
  }).listen(0, "127.0.0.1");
  await new Promise((done) => halves.once("listening", done));
  const { port } = halves.address() as AddressInfo;
  const error = await ask(`http://127.0.0.1:${port}/`).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ApiError);
  expect((error as ApiError).lost).toBe(true);
  halves.close();
});
