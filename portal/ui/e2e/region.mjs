// A region over simulated hosts, which a test may kill and start again. HANOK is the program.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const program = process.env.HANOK ?? new URL("../../../target/release/hanok", import.meta.url).pathname;
const started = new Set();
process.on("exit", () => started.forEach((region) => region.drop()));
for (const sign of ["SIGINT", "SIGTERM"]) process.on(sign, () => process.exit(1));

const freePort = () => new Promise((done) => {
  const socket = createServer().listen(0, "127.0.0.1", () => {
    const { port } = socket.address();
    socket.close(() => done(port));
  });
});

/** One that runs already, named by HANOK_URL and HANOK_DATA, or one of the test's own. */
export async function region(options = {}) {
  if (process.env.HANOK_URL) {
    const data = process.env.HANOK_DATA ?? "/var/lib/hanok";
    return { url: process.env.HANOK_URL, own: false, stop: async () => undefined, password: (who) => readFileSync(join(data, `${who}-password`), "utf8").trim() };
  }
  const made = new Region(await freePort());
  started.add(made);
  await made.start(options);
  return made;
}

class Region {
  own = true;
  child = null;
  constructor(port) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.dir = mkdtempSync(join(tmpdir(), "hanok-portal."));
  }
  password(who) {
    return readFileSync(join(this.dir, "data", `${who}-password`), "utf8").trim();
  }
  /** Starts the program and waits for `ready`. */
  async start({ hosts = 3, machines = 0 } = {}) {
    const log = openSync(join(this.dir, "log"), "a");
    const said = ["dev", "--data", join(this.dir, "data"), "--listen", `127.0.0.1:${this.port}`, "--hosts", `${hosts}`, "--machines", `${machines}`];
    const child = spawn(program, said, { stdio: ["ignore", "pipe", log], env: { ...process.env, HANOK_CONFIG: join(this.dir, "hanok.toml") } });
    closeSync(log);
    this.child = child;
    await new Promise((done, fail) => {
      let text = "";
      child.stdout.on("data", (bytes) => /^ready$/m.test((text += bytes)) && done());
      child.on("error", fail);
      child.on("exit", () => fail(new Error(`hanok dev has ended:\n${readFileSync(join(this.dir, "log"), "utf8").slice(-4000)}`)));
    });
  }
  /** `kill -9`, and waits until it is dead. */
  async kill() {
    await this.end("SIGKILL");
  }
  async end(sign) {
    const child = this.child;
    if (!child) return;
    this.child = null;
    child.removeAllListeners("exit");
    const dead = new Promise((done) => child.once("exit", done));
    child.kill(sign);
    await dead;
  }
  /** The end of it, with all that it kept. */
  async stop() {
    await this.end("SIGTERM");
    this.drop();
  }
  drop() {
    this.child?.kill("SIGKILL");
    started.delete(this);
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
