// Leaves a brotli and a gzip form beside every text of the build, which the program then serves as they are.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const dist = join(dirname(fileURLToPath(import.meta.url)), "../dist");
for (const file of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
  if (!/\.(js|css|html|svg|txt)$/.test(file)) continue;
  const plain = readFileSync(join(dist, file));
  if (plain.length < 1024) continue;
  writeFileSync(join(dist, `${file}.br`), brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } }));
  writeFileSync(join(dist, `${file}.gz`), gzipSync(plain, { level: 9 }));
}
